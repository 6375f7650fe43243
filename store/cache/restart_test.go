package cache_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stokerhq/stoker/store/cache"
	"github.com/stokerhq/stoker/store/storetest"
)

// A Redis that comes back with what it had a while ago, from its file or as the
// replica of another, has lost what a run wrote in between, and still knows the
// nonce. A run that goes on over that must not leave a manifest that tells of what
// was lost: the next run would keep the values of the one before, for good.
func TestRunOverARestart(t *testing.T) {
	for _, saved := range []string{"before the claim", "after the claim"} {
		t.Run("saved "+saved, func(t *testing.T) {
			server := storetest.OwnRedis(t)
			c := client(t, server.URL(0))
			values := cache.New(c, time.Minute)
			save := func(when string) {
				if when != saved {
					return
				}
				if err := c.Save(t.Context()).Err(); err != nil {
					t.Fatal(err)
				}
			}
			first := claimRun(t, values, 8)
			put(t, values, first, entry("a", "old", time.Hour), entry("b", "old", time.Hour))
			if err := remember(t.Context(), values, first); err != nil {
				t.Fatal(err)
			}
			save("before the claim")
			second := claimRun(t, values, 10)
			save("after the claim")
			put(t, values, second, entry("a", "new", time.Hour))
			server.Kill()
			if err := server.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			_, err := values.Put(t.Context(), second, batch(entry("b", "new", time.Hour)))
			if err == nil {
				err = remember(t.Context(), values, second)
			}
			t.Logf("the run that went on over the restart: %v", err)
			if _, err := values.Renew(t.Context()); err != nil { // as a worker does every few seconds
				t.Fatal(err)
			}
			third := claimAgain(t, values, 12)
			m, ok, err := values.Manifest(t.Context(), product.Name)
			if err != nil || !ok || !third.Trust(m) || m.Stamp != second.Stamp {
				return // it sends every value
			}
			if _, err := values.Put(t.Context(), third, kept(false, "a", "b")); err != nil {
				t.Fatal(err)
			}
			if got := c.Get(t.Context(), "a").Val(); got != "new" {
				t.Errorf("a keeps the value %q of the run before the last", got)
			}
		})
	}
}

// claimAgain claims a run, in an epoch that may begin with it.
func claimAgain(t *testing.T, c *cache.Cache, clock uint64) *cache.Claim {
	t.Helper()
	for range 3 {
		a := arm(t, c)
		s, err := c.Stamp(t.Context(), a, moment(clock))
		if err != nil {
			continue
		}
		cl, err := c.ClaimRun(t.Context(), a, product, s, cache.NewID())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(cl.Close)
		return cl
	}
	t.Fatal("no epoch begins")
	return nil
}

// remember keeps the manifest of a run, as a worker does at its end.
func remember(ctx context.Context, c *cache.Cache, cl *cache.Claim) error {
	before, _, err := c.Manifest(ctx, product.Name)
	if err != nil {
		return err
	}
	return c.KeepManifest(ctx, cl, product.Name, cl.NewManifest(), before, time.Hour)
}

// A server that was started again begins an epoch and a book: fences of its last
// moments may be lost. Who armed before is told so.
func TestServerWasStartedAgain(t *testing.T) {
	server := storetest.OwnRedis(t)
	c := client(t, server.URL(0))
	values := cache.New(c, time.Minute)
	run := claimRun(t, values, 8)
	before, _, err := values.Epoch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Save(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	server.Kill()
	if err := server.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := values.Renew(t.Context()); err != nil {
		t.Fatal(err)
	}
	after, _, err := values.Epoch(t.Context())
	if err != nil || after <= before {
		t.Errorf("epoch %d after %d, %v", after, before, err)
	}
	if _, err := values.Put(t.Context(), run, batch(entry("a", "v", time.Hour))); !errors.Is(err, cache.ErrLost) {
		t.Errorf("what was armed before: %v", err)
	}
	put(t, values, claimAgain(t, values, 8), entry("a", "v", time.Hour))
}

// The manifest of a run is kept only if no other run has claimed the job since.
func TestKeepManifestOfTheNewestRun(t *testing.T) {
	r := newRig(t)
	for _, tt := range []struct {
		name string
		do   func(*rig)
		err  error
	}{
		{"nothing", func(*rig) {}, nil},
		{"a newer run", func(r *rig) { r.run(product, 11) }, cache.ErrSuperseded},
		{"a run of the same moment", func(r *rig) { r.run(product, 10) }, cache.ErrSuperseded},
		{"a run of another job", func(r *rig) { r.run(otherJob, 11) }, nil},
		{"the book is lost", (*rig).lose, cache.ErrLost},
		{"the book is lost and opened again", func(r *rig) { r.lose(); arm(r, r.other) }, cache.ErrLost},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := r.again(t)
			cl := r.claim(10)
			tt.do(r)
			wantError(t, remember(t.Context(), r.values, cl), tt.err)
			m, ok, err := r.values.Manifest(t.Context(), product.Name)
			if err != nil || ok != (tt.err == nil) || ok && m.ID != cl.NewManifest().ID {
				t.Errorf("%+v, %v, %v", m, ok, err)
			}
		})
	}
}
