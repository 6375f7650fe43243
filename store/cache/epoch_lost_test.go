package cache_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/cache"
)

// inLaterEpoch is a Redis in whose book a run of a later epoch than the first has
// written; its manifest comes with it.
func (r *rig) inLaterEpoch(t *testing.T) *rig {
	t.Helper()
	r = r.again(t)
	mustStamp(r, r.other, 100, "A")
	if _, _, err := stamped(r, r.other, 100, "B"); !errors.Is(err, cache.ErrNewEpoch) {
		t.Fatal(err)
	}
	a, s := mustStamp(r, r.other, 100, "B")
	r.last = mustClaim(r, r.other, a, s).NewManifest()
	return r
}

// wantRun: a run of the newest snapshot is not refused for ever.
func (r *rig) wantRun(c *cache.Cache) *cache.Claim {
	r.Helper()
	for range 3 {
		a, s, err := stamped(r, c, 200, "B")
		if errors.Is(err, cache.ErrNewEpoch) {
			continue
		}
		if err != nil {
			r.Fatal(err)
		}
		cl, err := c.ClaimRun(r.Context(), a, product, s, cache.NewID())
		if cache.Again(err) {
			continue
		}
		if err != nil {
			r.Fatalf("a run with stamp %v, in a book with %v: %v", s, r.client.HGetAll(r.Context(), c.Book()).Val(),
				err)
		}
		r.Cleanup(cl.Close)
		return cl
	}
	r.Fatal("no run begins")
	return nil
}

// A process that dies while it begins an epoch must not leave the old book behind:
// where the record was lost its stamps may be of epochs that are yet to come, and
// refuse every run; where the server is another one its manifests may tell of what
// was lost.
func TestEpochBeginsWithABookOrNotAtAll(t *testing.T) {
	all := newRig(t)
	for name, strike := range map[string]func(*rig){
		"the record is lost":        func(r *rig) { r.client.Del(r.Context(), epochKey) },
		"the server is another one": func(r *rig) { r.client.HSet(r.Context(), epochKey, "server", "another") },
	} {
		for n, whole := 0, false; !whole; n++ {
			t.Run(fmt.Sprintf("%s, dead after %d commands", name, n), func(t *testing.T) {
				r := all.inLaterEpoch(t)
				strike(r)
				_, err := cache.New(r.mortal(n), 0).Arm(t.Context())
				if whole = err == nil; !whole && !errors.Is(err, errDied) {
					t.Fatal(err)
				}
				if r.wantRun(cache.New(r.client, 0)).Trust(r.last) {
					t.Error("it trusts the manifest of the lost epoch")
				}
			})
		}
	}
}

// A process that has read the epoch, but not yet the nonce, when Redis loses both
// must not write into the new book with the stamps of that epoch.
func TestEpochIsLostWhileArming(t *testing.T) {
	all := newRig(t)
	for name, lose := range map[string]func(*rig){
		"flush":  func(r *rig) { r.client.FlushDB(r.Context()) },
		"record": func(r *rig) { r.client.Del(r.Context(), epochKey) },
	} {
		t.Run(name, func(t *testing.T) {
			r := all.inLaterEpoch(t)
			slow, once := r.another(), false
			slow.AddHook(before(func(cmd redis.Cmder) error {
				if cmd.Name() == "evalsha" && !once {
					once = true
					lose(r)
					arm(t, r.values)
				}
				return nil
			}))
			c := cache.New(slow, 0)
			a := arm(t, c)
			if s, err := c.Stamp(t.Context(), a, store.Snapshot{Clock: 150, Origin: "B"}); err == nil {
				mustClaim(r, c, a, s)
			}
			if !once {
				t.Fatal("nothing came in between")
			}
			r.wantRun(r.values)
		})
	}
}
