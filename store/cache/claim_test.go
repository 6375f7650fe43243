package cache_test

import (
	"errors"
	"testing"
	"time"

	"github.com/stokerhq/stoker/store/cache"
)

// TestClaim: what keeps a run with clock 10 from beginning.
func TestClaim(t *testing.T) {
	all := newRig(t)
	for _, tt := range []struct {
		name string
		do   func(*rig)
		err  error
	}{
		{"nothing", func(*rig) {}, nil},
		{"an older run", func(r *rig) { r.run(product, 9) }, nil},
		{"a run as new", func(r *rig) { r.run(product, 10) }, nil},
		{"a newer run", func(r *rig) { r.run(product, 11) }, cache.ErrSuperseded},
		{"a newer run of another job", func(r *rig) { r.run(otherJob, 11) }, nil},
		{"a newer refresh", func(r *rig) { r.refresh(11, "a") }, nil},
		{"the book is lost", (*rig).lose, cache.ErrLost},
		{"the book is lost and opened again", func(r *rig) { r.lose(); arm(r, r.other) }, cache.ErrLost},
		{"a flush", func(r *rig) { r.client.FlushDB(r.Context()) }, cache.ErrLost},
		{"the deadline passes", func(r *rig) { r.armed.Expire() }, cache.ErrLate},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := all.again(t)
			r.armed = arm(t, r.values)
			tt.do(r)
			_, before := r.all()
			cl, err := r.values.ClaimRun(t.Context(), r.armed, product, at(10), cache.NewID())
			if !wantError(t, err, tt.err) {
				if _, after := r.all(); len(after) != len(before) {
					t.Errorf("the book was %v and is %v", before, after)
				}
				return
			}
			defer cl.Close()
			if got := r.field("#r:" + product.Name); got != at(10).String() {
				t.Errorf("the run that writes is %s", got)
			}
		})
	}
}

// A run that is claimed ends older ones at once, not only when it writes.
func TestClaimEndsOlderRuns(t *testing.T) {
	r := newRig(t)
	old := r.claim(9)
	put(t, r.values, old, entry("a", "old", time.Hour))
	r.claim(10)
	if _, err := r.values.Put(t.Context(), old, batch(entry("b", "old", time.Hour))); !errors.Is(err,
		cache.ErrSuperseded) {
		t.Errorf("error %v", err)
	}
}
