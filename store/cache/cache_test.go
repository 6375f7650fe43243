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
	"github.com/stokerhq/stoker/store/storetest"
)

// userKeys is how many keys are in Redis that are not ours.
func userKeys(t *testing.T, c redis.UniversalClient) (n int) {
	t.Helper()
	for _, key := range c.Keys(t.Context(), "*").Val() {
		if !strings.HasPrefix(key, "stoker:") {
			n++
		}
	}
	return n
}

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
	mixed := []store.Entry{entry("m1", strings.Repeat("a", 16<<10), time.Hour), entry("m2", "b", time.Hour),
		{Key: []byte("m3"), Value: large[:100_000], TTL: time.Hour}, entry("m4", "", time.Hour)}
	for _, tt := range []struct {
		name    string
		entries []store.Entry
	}{
		{"nothing", nil},
		{"one", []store.Entry{entry("product:1", `{"id":1}`, time.Minute)}},
		{"bytes", []store.Entry{{Key: every, Value: every, TTL: time.Minute}}},
		{"protocol in a value", []store.Entry{entry("p", "\r\n+OK\r\n$-1\r\n*1\r\n", time.Minute),
			entry("q", "", time.Minute)}},
		{"spaces in a key", []store.Entry{entry("a b\n\"c\"", "v", time.Minute)}},
		{"milliseconds", []store.Entry{entry("ms", "v", 12345*time.Millisecond+999*time.Microsecond),
			entry("year", "v", 365*24*time.Hour)}},
		{"large", []store.Entry{{Key: []byte("large"), Value: large, TTL: time.Minute}}},
		{"large and small", mixed},
		{"many", many},
		{"one key twice", []store.Entry{entry("k", "old", time.Hour), entry("k", "new", time.Minute)}},
	} {
		for way, claim := range ways {
			t.Run(tt.name+" by "+way, func(t *testing.T) {
				values, c := newCache(t)
				cl := claim(t, values, 1)
				before := redisTime(t, c)
				out, err := values.Put(t.Context(), cl, batch(tt.entries...))
				if err != nil {
					t.Fatal(err)
				}
				after := redisTime(t, c)
				want := map[string]store.Entry{}
				size := 0
				for _, e := range tt.entries {
					want[string(e.Key)] = e
					size += e.Size()
				}
				if d := cmp.Diff(cache.Outcome{Written: int64(len(tt.entries)), Bytes: int64(size)}, out); d != "" {
					t.Error("outcome", d)
				}
				for k, e := range want {
					wantEntry(t, c, k, e, before, after)
				}
				if n := userKeys(t, c); n != len(want) {
					t.Errorf("%d keys are in redis, want %d", n, len(want))
				}
			})
		}
	}
}

func redisTime(t *testing.T, c redis.UniversalClient) time.Time {
	t.Helper()
	at, err := c.Time(t.Context()).Result()
	if err != nil {
		t.Fatal(err)
	}
	return at
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
	for way, claim := range ways {
		t.Run(way, func(t *testing.T) {
			values, c := newCache(t)
			if err := c.Set(t.Context(), "forever", "old", 0).Err(); err != nil {
				t.Fatal(err)
			}
			if err := c.RPush(t.Context(), "list", "old").Err(); err != nil {
				t.Fatal(err)
			}
			all := []store.Entry{entry("forever", "new", time.Minute), entry("list", "new", time.Minute)}
			before := redisTime(t, c)
			put(t, values, claim(t, values, 1), all...)
			for _, e := range all {
				wantEntry(t, c, string(e.Key), e, before, redisTime(t, c))
			}
		})
	}
}

func put(t testing.TB, c *cache.Cache, cl *cache.Claim, all ...store.Entry) cache.Outcome {
	t.Helper()
	out, err := c.Put(t.Context(), cl, batch(all...))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Redis refuses a TTL of nothing, and so the whole batch would fail for a value
// that jitter has left less than a millisecond.
func TestPutWithTheShortestTTL(t *testing.T) {
	for _, claim := range ways {
		values, _ := newCache(t)
		for _, ttl := range []time.Duration{0, time.Nanosecond, time.Millisecond} {
			if _, err := values.Put(t.Context(), claim(t, values, 1), batch(entry("k", "v", ttl))); err != nil {
				t.Errorf("TTL %v: %v", ttl, err)
			}
		}
	}
}

// The batch is read while it is written, and nothing of it is kept.
func TestPutLeavesTheBatchAlone(t *testing.T) {
	for _, claim := range ways {
		values, c := newCache(t)
		b := batch(entry("k1", "v1", time.Minute), entry("k2", "v2", time.Minute))
		want := bytes.Clone(b.Buf)
		if _, err := values.Put(t.Context(), claim(t, values, 1), b); err != nil {
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
}

// A full Redis refuses a batch: the error names the first key and says what to
// do, no value is torn, and what was there stays. A fence works all the same, and
// leaves no stale value behind.
func TestAFullRedis(t *testing.T) {
	for way, claim := range ways {
		t.Run(way, func(t *testing.T) {
			r := storetest.OwnRedis(t, "--maxmemory", "8mb", "--maxmemory-policy", "noeviction")
			c := client(t, r.URL(0))
			values := cache.New(c, time.Minute)
			cl := claim(t, values, 1)
			value := strings.Repeat("v", 100<<10)
			var err error
			n := 0
			for ; err == nil && n < 100; n++ {
				_, err = values.Put(t.Context(), cl, batch(entry(fmt.Sprintf("full:%03d", n), value, time.Hour)))
			}
			if err == nil || n < 5 {
				t.Fatalf("%d keys of 100 KB went into a Redis of 8 MB, %v", n, err)
			}
			for _, want := range []string{fmt.Sprintf("the first is full:%03d:", n-1), "OOM", "raise maxmemory"} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("the error lacks %q: %v", want, err)
				}
			}
			for i := range n - 1 {
				if got := c.Get(t.Context(), fmt.Sprintf("full:%03d", i)).Val(); got != value {
					t.Errorf("full:%03d has %d bytes", i, len(got))
				}
			}
			a, s := stamp(t, values, 2)
			if _, err := values.Fence(t.Context(), a, s, [][]byte{[]byte("full:000")}, 0); err != nil {
				t.Fatalf("fence on a full redis: %v", err)
			}
			if _, err := values.Fence(t.Context(), a, s, [][]byte{[]byte("full:001")}, time.Second); err != nil {
				t.Fatalf("fence on a full redis: %v", err)
			}
			if n := c.Exists(t.Context(), "full:000").Val(); n != 0 {
				t.Error("the fence left a stale value")
			}
			if left := c.PTTL(t.Context(), "full:001").Val(); left > time.Second {
				t.Errorf("the fence left a stale value for %v", left)
			}
			if _, err := values.Put(t.Context(), cl, batch(entry("full:000", "older", time.Hour))); err != nil &&
				!strings.Contains(err.Error(), "OOM") {
				t.Error(err)
			}
			if n := c.Exists(t.Context(), "full:000").Val(); n != 0 {
				t.Error("an older value came after the fence")
			}
			values.Disarm(arm(t, values))
			if _, err := values.Arm(t.Context()); err != nil {
				t.Errorf("arm on a full redis: %v", err)
			}
		})
	}
}

// The hint is for a full Redis alone, whatever the keys are called.
func TestPutHintsOnlyWhenFull(t *testing.T) {
	for way, claim := range ways {
		values, c := newCache(t)
		cl := claim(t, values, 1)
		if err := c.Do(t.Context(), "acl", "setuser", "default", "-set", "-evalsha").Err(); err != nil {
			t.Fatal(err)
		}
		_, err := values.Put(t.Context(), cl, batch(entry("OOM k", "v", time.Minute)))
		if rerr := c.Do(t.Context(), "acl", "setuser", "default", "+@all").Err(); rerr != nil {
			t.Fatal(rerr)
		}
		if err == nil || !strings.Contains(err.Error(), "OOM k") || !strings.Contains(err.Error(), "NOPERM") ||
			strings.Contains(err.Error(), "maxmemory") {
			t.Errorf("%s: error %v; want one that names the key and does not speak of memory", way, err)
		}
	}
}

// A Redis that was restarted has lost the book: what was armed before is told so.
// One that is away is an error that names the key, and the same client goes on
// when it is back.
func TestPutAcrossARestart(t *testing.T) {
	for way, claim := range ways {
		t.Run(way, func(t *testing.T) {
			r := storetest.OwnRedis(t)
			c := client(t, r.URL(0))
			values := cache.New(c, time.Minute)
			try := func(ctx context.Context, cl *cache.Claim, value string) error {
				_, err := values.Put(ctx, cl, batch(entry("k1", value, time.Minute), entry("k2", value, time.Minute)))
				return err
			}
			cl := claim(t, values, 1)
			if err := try(t.Context(), cl, "1"); err != nil {
				t.Fatal(err)
			}
			r.Kill()
			if err := r.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := try(t.Context(), cl, "2"); !errors.Is(err, cache.ErrLost) {
				t.Fatalf("after a restart: %v", err)
			}
			values.Disarm(arm(t, values))
			cl = claim(t, values, 1) // with scripts that Redis has to be given again
			if err := try(t.Context(), cl, "3"); err != nil {
				t.Fatal(err)
			}
			armed := arm(t, values)
			r.Kill()
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond) // the client would dial for seconds
			defer cancel()
			if err := try(ctx, cl, "4"); err == nil || !strings.Contains(err.Error(), "the first is k1") {
				t.Errorf("without a server: %v; want an error that names the key", err)
			}
			values.Disarm(armed)
			if _, err := values.Arm(ctx); err == nil || !strings.Contains(err.Error(), "arm the cache") {
				t.Errorf("armed without a server: %v", err)
			}
			if err := r.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := try(t.Context(), claim(t, values, 1), "5"); err != nil {
				t.Errorf("after it came back: %v", err)
			}
			if got := c.Get(t.Context(), "k1").Val(); got != "5" {
				t.Errorf("k1 is %s", got)
			}
		})
	}
}

func TestPutObeysItsContext(t *testing.T) {
	for _, claim := range ways {
		values, c := newCache(t)
		cl := claim(t, values, 1)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := values.Put(ctx, cl, batch(entry("k", "v", time.Minute))); !errors.Is(err, context.Canceled) {
			t.Errorf("error %v", err)
		}
		if n := c.Exists(t.Context(), "k").Val(); n != 0 {
			t.Error("the value was written")
		}
	}
}

func TestArmTellsRedisTime(t *testing.T) {
	values, c := newCache(t)
	before := redisTime(t, c)
	at := arm(t, values).At
	if after := redisTime(t, c); at.Before(before.Truncate(time.Millisecond)) || at.After(after) {
		t.Errorf("armed at %v, not between %v and %v", at, before, after)
	}
}

func TestRemoveAndPresent(t *testing.T) {
	for way, claim := range ways {
		t.Run(way, func(t *testing.T) {
			values, c := newCache(t)
			cl := claim(t, values, 1)
			put(t, values, cl, entry("a", "1", time.Hour), entry("b\x00", "", time.Hour), entry("c", "3", time.Hour))
			present := func(want int, names ...string) {
				t.Helper()
				if got, err := values.Present(t.Context(), names); err != nil || got != want {
					t.Errorf("%d of %q are present, %v; want %d", got, names, err, want)
				}
			}
			remove := func(want int64, names ...string) {
				t.Helper()
				var b store.Batch
				for _, n := range names {
					at := len(b.Buf)
					b.Buf = append(b.Buf, n...)
					b.AddRemoval(at)
				}
				if got, err := values.Put(t.Context(), cl, &b); err != nil || got != (cache.Outcome{Removed: want}) {
					t.Errorf("%q: %+v, %v; want %d removed", names, got, err, want)
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
			if n := userKeys(t, c); n != 0 {
				t.Errorf("%d keys are left", n)
			}
			c.Close()
			if _, err := values.Present(t.Context(), []string{"a"}); err == nil {
				t.Error("found in a closed client")
			}
		})
	}
}

// In a cluster the keys of a batch lie in many slots, each with a book of its
// own; here one server has them all.
func TestCluster(t *testing.T) {
	r := storetest.OwnRedis(t, "--cluster-enabled", "yes", "--databases", "1")
	single := client(t, r.URL(0))
	if err := single.Do(t.Context(), "cluster", "addslotsrange", 0, 16383).Err(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); !strings.Contains(single.ClusterInfo(t.Context()).Val(),
		"cluster_state:ok"); {
		if time.Now().After(deadline) {
			t.Fatal("the cluster does not become ready")
		}
		time.Sleep(20 * time.Millisecond) // the server says so to nobody
	}
	c := client(t, "redis://"+r.Addr()+"?addr="+r.Addr())
	if _, ok := c.(*redis.ClusterClient); !ok {
		t.Fatalf("a %T", c)
	}
	values := cache.New(c, time.Minute)
	var all []store.Entry
	var keys [][]byte
	for i := range 100 {
		e := entry(fmt.Sprintf("k:%d", i), fmt.Sprint(i), time.Minute)
		all, keys = append(all, e), append(keys, e.Key)
	}
	before := redisTime(t, single)
	run := claimRun(t, values, 5)
	put(t, values, run, all...)
	for _, e := range all {
		wantEntry(t, c, string(e.Key), e, before, redisTime(t, single))
	}
	a, s := stamp(t, values, 6)
	if gone, err := values.Fence(t.Context(), a, s, keys[:50], 0); len(gone) != 50 || err != nil {
		t.Errorf("%d keys removed, %v", len(gone), err)
	}
	if out := put(t, values, run, all...); out.Old != 50 || out.Written != 50 {
		t.Errorf("after the fence: %+v", out)
	}
	if n := c.Exists(t.Context(), "k:0").Val(); n != 0 {
		t.Error("an older value came after the fence")
	}
	if out := put(t, values, claimRefresh(t, values, 6), all...); out.Written != 100 {
		t.Errorf("a refresh as new as the fence: %+v", out)
	}
	claimRun(t, values, 7)
	if n, err := values.Prune(t.Context()); n != 0 || err != nil {
		t.Errorf("%d fields pruned, %v", n, err)
	}
	wantUntracked(t, values)
}

// wantUntracked: there is a set of them in each slot, too.
func wantUntracked(t *testing.T, values *cache.Cache) {
	t.Helper()
	var fresh [][]byte
	var all []store.Entry
	var gone store.Batch
	for i := range 30 {
		e := entry(fmt.Sprintf("new:%d", i), "v", time.Minute)
		fresh, all = append(fresh, e.Key), append(all, e)
	}
	// the last is not untracked
	put(t, values, claimRefresh(t, values, 8), append(all, entry("k:99", "v", time.Minute))...)
	run := claimRun(t, values, 9)
	for _, key := range fresh[10:] {
		gone.Remove(key)
	}
	count := func(want int) {
		t.Helper()
		if all, err := values.Untracked(t.Context(), product.Name); len(all.Keys) != want || err != nil {
			t.Errorf("%d untracked, want %d: %v", len(all.Keys), want, err)
		}
	}
	const before = 50 // were fenced without a grace, and refreshed
	count(before + 30)
	if err := values.ForgetUntracked(t.Context(), run, fresh[:10]); err != nil {
		t.Error(err)
	}
	count(before + 20)
	if _, err := values.PutUntracked(t.Context(), run, &gone); err != nil {
		t.Error(err)
	}
	count(before)
}

// A batch by wire and by script: small and large values, and a book in which
// nothing concerns a run, or a thousand other keys are fenced, or each of ours.
func BenchmarkPut(b *testing.B) {
	for way, claim := range ways {
		for _, size := range []int{300, 4 << 10, 64 << 10} {
			for _, book := range []string{"quiet", "busy"} {
				b.Run(fmt.Sprintf("way=%s/value=%d/book=%s", way, size, book), func(b *testing.B) {
					benchmarkPut(b, claim, size, book == "busy")
				})
			}
		}
	}
}

func benchmarkPut(b *testing.B, claim func(testing.TB, *cache.Cache, uint64) *cache.Claim, size int, busy bool) {
	values, _ := newCache(b)
	if busy {
		var other [][]byte
		for i := range 1000 {
			other = append(other, fmt.Appendf(nil, "other:%d", i))
		}
		a, s := stamp(b, values, 1)
		if _, err := values.Fence(b.Context(), a, s, other, 0); err != nil {
			b.Fatal(err)
		}
	}
	var all []store.Entry
	for i := range max(1, min(100, 64<<10/size)) { // as the worker cuts batches
		all = append(all, entry(fmt.Sprintf("product:%d", i), strings.Repeat("v", size), time.Minute))
	}
	full, cl := batch(all...), claim(b, values, 1)
	b.ReportAllocs()
	b.SetBytes(int64(full.Size()))
	for b.Loop() {
		if _, err := values.Put(b.Context(), cl, full); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*full.Len()), "ns/key")
}
