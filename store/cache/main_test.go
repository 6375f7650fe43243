package cache_test

import (
	"context"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/cache"
	"github.com/stokerhq/stoker/store/storetest"
)

func TestMain(m *testing.M) {
	redis.SetLogger(silent{}) // it repeats what errors say
	storetest.Main(m)
}

type silent struct{}

func (silent) Printf(context.Context, string, ...any) {}

// client opens a URL as the commands do.
func client(t testing.TB, url string) redis.UniversalClient {
	t.Helper()
	c, err := cache.Open(jobs.NewSecret(url))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// newCache returns a cache in an empty logical database, and a client to look
// into it as an API node does.
func newCache(t testing.TB) (*cache.Cache, redis.UniversalClient) {
	t.Helper()
	c := client(t, storetest.Redis(t))
	return cache.New(c, time.Minute), c
}

// batch makes a batch of entries.
func batch(all ...store.Entry) *store.Batch {
	var b store.Batch
	for _, e := range all {
		keyAt := len(b.Buf)
		b.Buf = append(b.Buf, e.Key...)
		valueAt := len(b.Buf)
		b.Buf = append(b.Buf, e.Value...)
		b.Add(keyAt, valueAt, e.TTL)
	}
	return &b
}

func entry(key, value string, ttl time.Duration) store.Entry {
	return store.Entry{Key: []byte(key), Value: []byte(value), TTL: ttl}
}

func arm(t testing.TB, c *cache.Cache) *cache.Armed {
	t.Helper()
	a, err := c.Arm(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return a
}

var product = &jobs.Job{Name: "product", Type: jobs.TypeString, TTL: time.Hour}

// moment is a snapshot of the one history that tests know.
func moment(clock uint64) store.Snapshot { return store.Snapshot{Clock: clock, Origin: "here"} }

// stamp arms and returns the stamp of a snapshot taken after that.
func stamp(t testing.TB, c *cache.Cache, clock uint64) (*cache.Armed, store.Stamp) {
	t.Helper()
	a := arm(t, c)
	s, err := c.Stamp(t.Context(), a, moment(clock))
	if err != nil {
		t.Fatal(err)
	}
	return a, s
}

// claimRun claims a run of product, which writes by transaction.
func claimRun(t testing.TB, c *cache.Cache, clock uint64) *cache.Claim {
	t.Helper()
	a, s := stamp(t, c, clock)
	cl, err := c.ClaimRun(t.Context(), a, product, s, cache.NewID())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}

// claimRefresh claims a refresh of product, which writes by script.
func claimRefresh(t testing.TB, c *cache.Cache, clock uint64) *cache.Claim {
	t.Helper()
	a, s := stamp(t, c, clock)
	return c.ClaimRefresh(a, product, s)
}

// ways are the two ways that a batch can take.
var ways = map[string]func(testing.TB, *cache.Cache, uint64) *cache.Claim{"transaction": claimRun,
	"script": claimRefresh}
