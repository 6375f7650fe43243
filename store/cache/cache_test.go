package cache_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/cache"
)

func TestPut(t *testing.T) {
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	large := make([]byte, 16<<20) // the largest value that a spec allows by default
	rand.Read(large)
	many := make([]store.Entry, 1000)
	for i := range many {
		many[i] = entry(fmt.Sprintf("many:%d", i), strings.Repeat("v", i), time.Hour)
	}
	for _, tt := range []struct {
		name    string
		entries []store.Entry
	}{
		{"nothing", nil},
		{"one", []store.Entry{entry("product:1", `{"id":1}`, time.Minute)}},
		{"bytes", []store.Entry{{Key: every, Value: every, TTL: time.Minute}}},
		{"protocol in a value", []store.Entry{entry("p", "\r\n+OK\r\n$-1\r\n*1\r\n", time.Minute), entry("q", "", time.Minute)}},
		{"spaces in a key", []store.Entry{entry("a b\n\"c\"", "v", time.Minute)}},
		{"milliseconds", []store.Entry{entry("ms", "v", 12345*time.Millisecond+999*time.Microsecond), entry("year", "v", 365*24*time.Hour)}},
		{"large", []store.Entry{{Key: []byte("large"), Value: large, TTL: time.Minute}}},
		{"many", many},
		{"one key twice", []store.Entry{entry("k", "old", time.Hour), entry("k", "new", time.Minute)}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			values, c := newCache(t)
			before := arm(t, values).At
			if err := values.Put(t.Context(), arm(t, values), batch(tt.entries...)); err != nil {
				t.Fatal(err)
			}
			after := arm(t, values).At
			want := map[string]store.Entry{}
			for _, e := range tt.entries {
				want[string(e.Key)] = e
			}
			for k, e := range want {
				wantEntry(t, c, k, e, before, after)
			}
			if n := c.DBSize(t.Context()).Val(); n != int64(len(want)) {
				t.Errorf("%d keys are in redis, want %d", n, len(want))
			}
		})
	}
}

// wantEntry: the value is exact, and so is the TTL: it was set between two times
// of Redis' own clock.
func wantEntry(t *testing.T, c redis.UniversalClient, key string, e store.Entry, before, after time.Time) {
	t.Helper()
	got, err := c.Get(t.Context(), key).Bytes()
	if err != nil || !bytes.Equal(got, e.Value) {
		t.Errorf("key %.40q: %d bytes %.40q, %v; want %d bytes %.40q", key, len(got), got, err, len(e.Value), e.Value)
	}
	ends, err := c.PExpireTime(t.Context(), key).Result()
	if err != nil {
		t.Fatal(err)
	}
	set := time.UnixMilli(ends.Milliseconds()).Add(-e.TTL.Truncate(time.Millisecond))
	if set.Before(before.Truncate(time.Millisecond)) || set.After(after) {
		t.Errorf("key %.40q: TTL is %v off", key, set.Sub(after))
	}
}

// A write takes the place of whatever was there: a longer TTL, another type.
func TestPutReplaces(t *testing.T) {
	values, c := newCache(t)
	before := arm(t, values).At
	if err := c.Set(t.Context(), "forever", "old", 0).Err(); err != nil {
		t.Fatal(err)
	}
	if err := c.RPush(t.Context(), "list", "old").Err(); err != nil {
		t.Fatal(err)
	}
	all := []store.Entry{entry("forever", "new", time.Minute), entry("list", "new", time.Minute)}
	if err := values.Put(t.Context(), arm(t, values), batch(all...)); err != nil {
		t.Fatal(err)
	}
	for _, e := range all {
		wantEntry(t, c, string(e.Key), e, before, arm(t, values).At)
	}
}

// Redis refuses a TTL of nothing, and so the whole batch would fail for a value
// that jitter has left less than a millisecond.
func TestPutWithTheShortestTTL(t *testing.T) {
	values, _ := newCache(t)
	for _, ttl := range []time.Duration{0, time.Nanosecond, time.Millisecond} {
		if err := values.Put(t.Context(), arm(t, values), batch(entry("k", "v", ttl))); err != nil {
			t.Errorf("TTL %v: %v", ttl, err)
		}
	}
}

// The batch is read while it is written, and nothing of it is kept.
func TestPutLeavesTheBatchAlone(t *testing.T) {
	values, c := newCache(t)
	b := batch(entry("k1", "v1", time.Minute), entry("k2", "v2", time.Minute))
	want := bytes.Clone(b.Buf)
	if err := values.Put(t.Context(), arm(t, values), b); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, b.Buf); diff != "" || b.Len() != 2 {
		t.Errorf("%d entries, buffer (-want +got):\n%s", b.Len(), diff)
	}
	clear(b.Buf)
	if got := c.Get(t.Context(), "k2").Val(); got != "v2" {
		t.Errorf("k2 is %q after the batch was used again", got)
	}
}

// A full Redis refuses some writes of a batch: the error names the first key and
// says what to do, and no value is torn.
func TestPutOntoAFullRedis(t *testing.T) {
	r := ownRedis(t, "--maxmemory", "6mb", "--maxmemory-policy", "noeviction")
	c := client(t, r.URL(0))
	values := cache.New(c)
	var all []store.Entry
	for i := range 100 {
		all = append(all, entry(fmt.Sprintf("full:%03d", i), strings.Repeat(string(rune('a'+i%26)), 100<<10), time.Hour))
	}
	err := values.Put(t.Context(), arm(t, values), batch(all...))
	if err == nil {
		t.Fatal("10 MB went into a Redis of 6 MB")
	}
	first := ""
	for _, e := range all {
		got, gerr := c.Get(t.Context(), string(e.Key)).Bytes()
		switch {
		case errors.Is(gerr, redis.Nil):
			if first == "" {
				first = string(e.Key)
			}
		case gerr != nil:
			t.Fatal(gerr)
		case !bytes.Equal(got, e.Value):
			t.Errorf("%s is torn: %d bytes", e.Key, len(got))
		}
	}
	if first == "" || first == string(all[0].Key) {
		t.Errorf("the first key that is missing is %q: nothing was tested", first)
	}
	for _, want := range []string{"write key " + first + ":", "OOM", "raise maxmemory"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error lacks %q: %v", want, err)
		}
	}
	// What was good stays, and there is room again once keys are removed.
	if _, err := values.Remove(t.Context(), arm(t, values), [][]byte{all[0].Key, all[1].Key, all[2].Key}); err != nil {
		t.Fatal(err)
	}
	if err := values.Put(t.Context(), arm(t, values), batch(all[0])); err != nil {
		t.Errorf("after keys were removed: %v", err)
	}
}

// The hint is for a full Redis alone, whatever the keys are called.
func TestPutHintsOnlyWhenFull(t *testing.T) {
	values, c := newCache(t)
	a := arm(t, values)
	c.Close()
	err := values.Put(t.Context(), a, batch(entry("OOM k", "v", time.Minute)))
	if err == nil || !strings.Contains(err.Error(), "OOM k") || strings.Contains(err.Error(), "maxmemory") {
		t.Errorf("error %v; want one that names the key and does not speak of memory", err)
	}
}

// A Redis that was restarted between two writes costs a retry inside the client
// and no error; one that is away is an error that names the key, and the same
// client goes on when it is back.
func TestPutAcrossARestart(t *testing.T) {
	r := ownRedis(t)
	c := client(t, r.URL(0))
	values := cache.New(c)
	put := func(ctx context.Context, value string) error {
		return values.Put(ctx, cache.Armed{}, batch(entry("k1", value, time.Minute), entry("k2", value, time.Minute)))
	}
	want := func(value string) {
		t.Helper()
		if got := c.MGet(t.Context(), "k1", "k2").Val(); fmt.Sprint(got) != fmt.Sprint([]any{value, value}) {
			t.Errorf("values are %v, want %s", got, value)
		}
	}
	if err := put(t.Context(), "1"); err != nil {
		t.Fatal(err)
	}
	want("1")
	r.Kill()
	if err := r.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := put(t.Context(), "2"); err != nil {
		t.Fatalf("after a restart: %v", err)
	}
	want("2")
	r.Kill()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond) // the client would dial for seconds
	defer cancel()
	if err := put(ctx, "3"); err == nil || !strings.Contains(err.Error(), "key k1") {
		t.Errorf("without a server: %v; want an error that names the key", err)
	}
	if _, err := values.Arm(ctx); err == nil || !strings.Contains(err.Error(), "arm the cache") {
		t.Errorf("armed without a server: %v", err)
	}
	if err := r.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := put(t.Context(), "4"); err != nil {
		t.Errorf("after it came back: %v", err)
	}
	want("4")
}

func TestPutObeysItsContext(t *testing.T) {
	values, c := newCache(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := values.Put(ctx, cache.Armed{}, batch(entry("k", "v", time.Minute))); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if n := c.Exists(t.Context(), "k").Val(); n != 0 {
		t.Error("the value was written")
	}
}

func TestArmTellsRedisTime(t *testing.T) {
	values, c := newCache(t)
	before := c.Time(t.Context()).Val()
	at := arm(t, values).At
	if after := c.Time(t.Context()).Val(); at.Before(before) || at.After(after) {
		t.Errorf("armed at %v, not between %v and %v", at, before, after)
	}
}

func TestRemoveAndPresent(t *testing.T) {
	values, c := newCache(t)
	keys := func(names ...string) (all [][]byte) {
		for _, n := range names {
			all = append(all, []byte(n))
		}
		return all
	}
	if err := values.Put(t.Context(), arm(t, values), batch(entry("a", "1", time.Hour), entry("b\x00", "", time.Hour), entry("c", "3", time.Hour))); err != nil {
		t.Fatal(err)
	}
	present := func(want int, names ...string) {
		t.Helper()
		if got, err := values.Present(t.Context(), names); err != nil || got != want {
			t.Errorf("%d of %q are present, %v; want %d", got, names, err, want)
		}
	}
	remove := func(want int64, names ...string) {
		t.Helper()
		if got, err := values.Remove(t.Context(), arm(t, values), keys(names...)); err != nil || got != want {
			t.Errorf("%d of %q were removed, %v; want %d", got, names, err, want)
		}
	}
	present(0)
	present(3, "a", "b\x00", "c")
	present(1, "x", "a", "b")
	remove(0)
	remove(0, "x", "y")
	remove(2, "a", "x", "b\x00", "a")
	present(1, "a", "b\x00", "c")
	remove(1, "c")
	if n := c.DBSize(t.Context()).Val(); n != 0 {
		t.Errorf("%d keys are left", n)
	}
	c.Close()
	if _, err := values.Remove(t.Context(), cache.Armed{}, keys("a")); err == nil {
		t.Error("removed from a closed client")
	}
	if _, err := values.Present(t.Context(), []string{"a"}); err == nil {
		t.Error("found in a closed client")
	}
}

// In a cluster the keys of a batch lie in many slots; here one server has them all.
func TestCluster(t *testing.T) {
	r := ownRedis(t, "--cluster-enabled", "yes", "--databases", "1")
	single := client(t, r.URL(0))
	if err := single.Do(t.Context(), "cluster", "addslotsrange", 0, 16383).Err(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); !strings.Contains(single.ClusterInfo(t.Context()).Val(), "cluster_state:ok"); {
		if time.Now().After(deadline) {
			t.Fatal("the cluster does not become ready")
		}
		time.Sleep(20 * time.Millisecond) // the server says so to nobody
	}
	c := client(t, "redis://"+r.Addr()+"?addr="+r.Addr())
	if _, ok := c.(*redis.ClusterClient); !ok {
		t.Fatalf("a %T", c)
	}
	values := cache.New(c)
	var all []store.Entry
	var keys [][]byte
	for i := range 100 {
		e := entry(fmt.Sprintf("k:%d", i), fmt.Sprint(i), time.Minute)
		all, keys = append(all, e), append(keys, e.Key)
	}
	before := arm(t, values).At
	if err := values.Put(t.Context(), arm(t, values), batch(all...)); err != nil {
		t.Fatal(err)
	}
	for _, e := range all {
		wantEntry(t, c, string(e.Key), e, before, arm(t, values).At)
	}
	if n, err := values.Remove(t.Context(), arm(t, values), keys); n != 100 || err != nil {
		t.Errorf("%d keys removed, %v", n, err)
	}
}

func BenchmarkPut(b *testing.B) {
	for _, n := range []int{1, 100} {
		b.Run(fmt.Sprintf("entries=%d", n), func(b *testing.B) {
			values, _ := newCache(b)
			var all []store.Entry
			for i := range n {
				all = append(all, entry(fmt.Sprintf("product:%d", i), strings.Repeat("v", 300), time.Minute))
			}
			full, a := batch(all...), arm(b, values)
			b.ReportAllocs()
			b.SetBytes(int64(full.Size()))
			for b.Loop() {
				if err := values.Put(b.Context(), a, full); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
