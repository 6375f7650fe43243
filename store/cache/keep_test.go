package cache_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/cache"
)

// kept makes a batch of entries that Redis should have already.
func kept(extend bool, keys ...string) *store.Batch {
	var b store.Batch
	for _, k := range keys {
		keyAt := len(b.Buf)
		b.Buf = append(b.Buf, k...)
		valueAt := len(b.Buf)
		b.Buf = append(b.Buf, "new"...)
		b.Add(keyAt, valueAt, time.Hour)
		b.Keep(extend)
	}
	return &b
}

// situation is how it stands with the key "a" when a run comes that would keep it
// and "b", which is as the last run has left it.
type situation struct {
	name string
	do   func(*rig)
	sent bool // a is sent, or told to be missing
	both bool // and so is b
	old  bool // a is refused when it is sent
	err  error
}

var situations = []situation{
	{name: "there", do: func(*rig) {}},
	{name: "gone", do: func(r *rig) { r.client.Del(r.Context(), "a") }, sent: true},
	{name: "fenced", do: func(r *rig) { r.fence(9, "a", 0) }, sent: true},
	{name: "on grace", do: func(r *rig) { r.fence(9, "a", time.Minute) }, sent: true},
	{name: "fenced by a newer change", do: func(r *rig) { r.fence(11, "a", time.Minute) }, sent: true, old: true},
	{name: "refreshed", do: func(r *rig) { r.refresh(10, "a") }, sent: true},
	{name: "another was fenced", do: func(r *rig) { r.fence(11, "c", 0) }},
	{name: "another was fenced since, and that is forgotten", do: func(r *rig) { r.forget(r.last.Armed) }, sent: true,
		both: true},
	{name: "another was fenced before, and that is forgotten", do: func(r *rig) { r.forget(r.last.Armed - 1) }},
	{name: "lost", do: (*rig).lose, err: cache.ErrLost},
	{name: "superseded", do: func(r *rig) { r.run(product, 11) }, err: cache.ErrSuperseded},
	{name: "late", do: func(r *rig) { r.armed.Expire() }, err: cache.ErrLate},
}

// TestKeep: only what no field speaks against stays, and is not even written to.
func TestKeep(t *testing.T) {
	r := newRig(t)
	for way, claim := range map[string]func(*rig, uint64) *cache.Claim{"transaction": (*rig).claim,
		"script": (*rig).claimByScript} {
		for _, extend := range []bool{false, true} {
			for _, s := range situations {
				name := way + "/" + s.name
				if extend {
					name += ", extended"
				}
				t.Run(name, func(t *testing.T) { s.put(r.again(t), claim, extend) })
				t.Run(name+", touched", func(t *testing.T) { s.touch(r.again(t), claim, extend) })
			}
		}
	}
}

// leave has the last run leave a and b, with little time left.
func (r *rig) leave(claim func(*rig, uint64) *cache.Claim) *cache.Claim {
	r.Helper()
	last := r.claim(8)
	put(r, r.values, last, entry("a", "old", time.Minute), entry("b", "old", time.Minute))
	cl := claim(r, 10)
	if r.last = last.NewManifest(); !cl.Trust(r.last) {
		r.Fatal("the last run is not trusted")
	}
	return cl
}

func (s situation) put(r *rig, claim func(*rig, uint64) *cache.Claim, extend bool) {
	cl := r.leave(claim)
	s.do(r)
	before := r.written()
	out, err := r.values.Put(r.Context(), cl, kept(extend, "a", "b"))
	var want cache.Outcome
	a, b := "old", "old"
	if wantError(r, err, s.err) {
		want = cache.Outcome{Kept: 2}
		if s.sent {
			want = cache.Outcome{Kept: 1, Written: 1, Bytes: 4}
			a = "new"
		}
		if s.both {
			want = cache.Outcome{Written: 2, Bytes: 8}
			b = "new"
		}
		if s.old {
			want = cache.Outcome{Kept: 1, Old: 1}
			a = "old"
		}
		r.wantTTL("b", extend || s.both)
		if !extend && !s.sent && r.written() != before {
			r.Error("something was written")
		}
	}
	if d := cmp.Diff(want, out); d != "" {
		r.Error(d)
	}
	for k, v := range map[string]string{"a": a, "b": b} {
		if got := r.client.Get(r.Context(), k).Val(); got != v {
			r.Errorf("%s is %q, want %q", k, got, v)
		}
	}
}

func (s situation) touch(r *rig, claim func(*rig, uint64) *cache.Claim, extend bool) {
	cl := r.leave(claim)
	s.do(r)
	before, left := r.written(), r.client.PTTL(r.Context(), "a").Val()
	there, err := r.values.Touch(r.Context(), cl, kept(extend, "a", "b"))
	if !wantError(r, err, s.err) {
		return
	}
	want := int64(2)
	switch {
	case s.both:
		want = 0
	case s.sent:
		want = 1
	}
	if there != want {
		r.Errorf("%d are there, want %d", there, want)
	}
	r.wantTTL("b", extend && !s.both)
	if s.sent && r.client.PTTL(r.Context(), "a").Val() > left {
		r.Error("what a fence has put on grace lives longer")
	}
	if !extend && r.written() != before {
		r.Error("something was written")
	}
}
