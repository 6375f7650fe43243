package cache_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/cache"
	"github.com/stokerhq/stoker/store/cache/info"
	"github.com/stokerhq/stoker/store/lookups"
	"github.com/stokerhq/stoker/store/storetest"
)

// What the cache says that it has looked up is what Redis has counted, for each step of the write protocol.
//
// Broken by: a step that is not counted; a key that is there taken for one that is not; a batch whose keys are looked
// for one by one where one look is made; a count that is doubled when a script is given to Redis again.
func TestOwnLookups(t *testing.T) {
	server := storetest.OwnRedis(t)
	c := client(t, server.URL(0))
	values := cache.New(c, time.Minute)
	counter := new(lookups.Counter)
	values.CountLookups(counter)
	observer := info.NewReader(client(t, server.URL(0)))
	counted := func() info.Node {
		nodes, err := observer.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return nodes[0]
	}
	claimRun(t, values, 5) // begins the first epoch: that there was none before is not told
	counter.Take()
	before := counted()
	step := func(what string, do func() error) {
		t.Helper()
		if err := do(); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		hits, misses, _ := counter.Take()
		now := counted()
		if h, m := now.Hits-before.Hits, now.Misses-before.Misses; h != hits || m != misses {
			t.Errorf("%s: %d hits and %d misses are told, Redis counts %d and %d", what, hits, misses, h, m)
		}
		before = now
	}
	many := func(n int) *store.Batch {
		var all []store.Entry
		for i := range n {
			all = append(all, entry(fmt.Sprintf("k:%d", i), "value", time.Hour))
		}
		return batch(all...)
	}
	keys := func(n int) (list [][]byte) {
		for i := range n {
			list = append(list, fmt.Appendf(nil, "k:%d", i))
		}
		return list
	}
	clock := uint64(5)
	for way, claim := range ways {
		clock += 10
		var cl *cache.Claim
		step(way+": claim", func() error { cl = claim(t, values, clock); return nil })
		step(way+": put of 250 keys that are not there", func() error {
			_, err := values.Put(t.Context(), cl, many(250))
			return err
		})
		step(way+": put of 300, of which 250 are there", func() error {
			_, err := values.Put(t.Context(), cl, many(300))
			return err
		})
		for _, extend := range []bool{false, true} {
			step(fmt.Sprintf("%s: some are kept, extended: %t", way, extend), func() error {
				_, err := values.Put(t.Context(), cl, kept(extend, "k:1", "k:2", "gone"))
				return err
			})
			step(fmt.Sprintf("%s: some are touched, extended: %t", way, extend), func() error {
				_, err := values.Touch(t.Context(), cl, kept(extend, "k:1", "k:2", "gone too"))
				return err
			})
		}
		step(way+": fences with a grace, of which 50 are of no key", func() error {
			_, err := values.Fence(t.Context(), arm(t, values), at(clock+1), keys(350), time.Minute)
			return err
		})
		step(way+": fences that remove", func() error {
			_, err := values.Fence(t.Context(), arm(t, values), at(clock+2), keys(20), 0)
			return err
		})
		step(way+": prune", func() error { _, err := values.Prune(t.Context()); return err })
		step(way+": a batch of a run that a newer one has superseded", func() error {
			claimRun(t, values, clock+3)
			if _, err := values.Put(t.Context(), cl, many(3)); way == "transaction" && err == nil {
				t.Error("it was written")
			}
			return nil
		})
		step(way+": scripts are forgotten", func() error { return c.ScriptFlush(t.Context()).Err() })
		step(way+": fences without a book", func() error {
			a := arm(t, values)
			if err := c.Unlink(t.Context(), values.Book()).Err(); err != nil {
				return err
			}
			_, err := values.Fence(t.Context(), a, at(clock+2), keys(10), time.Minute)
			return err
		})
		step(way+": prune without a book", func() error { _, err := values.Prune(t.Context()); return err })
		step(way+": armed anew", func() error { _, err := values.Renew(t.Context()); return err })
	}
	step("keys are looked for", func() error {
		_, err := values.Present(t.Context(), []string{"k:1", "x"})
		return err
	})
}
