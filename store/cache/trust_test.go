package cache_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/cache"
)

// TestTrust: a digest counts only as long as nothing else has written to the job's
// keys that left no field.
func TestTrust(t *testing.T) {
	all := newRig(t)
	for _, tt := range []struct {
		name   string
		do     func(*rig, cache.Manifest)
		trusts bool
	}{
		{"nothing", func(*rig, cache.Manifest) {}, true},
		{"a fence and a refresh, which leave fields",
			func(r *rig, _ cache.Manifest) { r.fence(9, "a", 0); r.refresh(9, "a") }, true},
		{"another job's run", func(r *rig, _ cache.Manifest) { r.run(otherJob, 9) }, true},
		{"another run", func(r *rig, _ cache.Manifest) { r.run(product, 9) }, false},
		{"a newer field was pruned", func(r *rig, m cache.Manifest) { r.fence(9, "a", 0); r.forget(m.Armed + 1) },
			false},
		{"a field of that very moment was pruned",
			func(r *rig, m cache.Manifest) { r.fence(9, "a", 0); r.forget(m.Armed) }, false},
		{"an older field was pruned", func(r *rig, m cache.Manifest) { r.fence(9, "a", 0); r.forget(m.Armed - 1) },
			true},
		{"the book was lost", func(r *rig, _ cache.Manifest) { r.lose(); r.values.Disarm(r.armed); arm(r, r.values) },
			false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := all.again(t)
			cl := r.claim(8)
			put(t, r.values, cl, entry("a", "v", time.Hour))
			m := cl.NewManifest()
			tt.do(r, m)
			next := r.claim(10)
			if got := next.Trust(m); got != tt.trusts {
				t.Errorf("trusts %v, want %v", got, tt.trusts)
			}
			if next.Trust(cache.Manifest{}) {
				t.Error("trusts what is no manifest")
			}
			if r.claim(12).Trust(m) {
				t.Error("trusts the run before the last one")
			}
		})
	}
}

// forget says that a field was pruned that was written then.
func (r *rig) forget(ms int64) {
	r.Helper()
	if err := r.client.HSet(r.Context(), r.values.Book(), "#p", fmt.Sprintf("%013d", ms)).Err(); err != nil {
		r.Fatal(err)
	}
}

// What a manifest remembers of a claim is enough to find it again.
func TestNewManifest(t *testing.T) {
	r := newRig(t)
	cl := r.claim(8)
	m := cl.NewManifest()
	if m.Stamp != (store.Stamp{Epoch: 1, Clock: 8}) || m.Armed != r.armed.At.UnixMilli() || m.Nonce == "" ||
		m.ID == "" || m.Full < m.Armed {
		t.Errorf("%+v", m)
	}
}

// Nor may a digest count when a run of the very same snapshot has written, and not
// what the digests tell of: the job may have had another query then.
func TestTrustNoRunOfTheSameSnapshot(t *testing.T) {
	r := newRig(t)
	cl := r.claim(8)
	put(t, r.values, cl, entry("a", "v", time.Hour))
	m := cl.NewManifest()
	put(t, r.other, r.run(product, 8), entry("a", "by another query", time.Hour)) // and then it fails
	if r.claim(8).Trust(m) {
		t.Error("what the other run has written is taken for the value that m tells of")
	}
}

// A run that only looks after what the last one wrote takes its place for it: the
// next one trusts the manifest still.
func TestTrustAfterALookOnly(t *testing.T) {
	r := newRig(t)
	first := r.claim(8)
	put(t, r.values, first, entry("a", "v", time.Hour))
	m := first.NewManifest()
	look, err := r.values.ClaimRun(t.Context(), arm(t, r.values), product, at(8), "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(look.Close)
	if !look.Trust(m) || look.NewManifest().ID != m.ID {
		t.Errorf("its manifest is %+v, after %+v", look.NewManifest(), m)
	}
	if !r.claim(10).Trust(m) {
		t.Error("the look has voided the manifest")
	}
}
