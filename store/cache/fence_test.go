package cache_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/stokerhq/stoker/store/cache"
)

// TestFence: what is left of a value that had left time, and of the field that
// was there, after a fence with stamp 10.
func TestFence(t *testing.T) {
	all := newRig(t)
	const hour, minute = time.Hour, time.Minute
	for _, tt := range []struct {
		name  string
		field uint64 // stamp of the refresh that wrote the value; 0: a run did
		ttl   time.Duration
		grace time.Duration
		left  time.Duration // at most, and more than half of it; 0: the value is removed
		owner uint64        // stamp of the field then
	}{
		{"removed", 0, hour, 0, 0, 10},
		{"removed, refreshed before", 9, hour, 0, 0, 10},
		{"as new", 10, hour, 0, hour, 10},
		{"newer", 11, hour, 0, hour, 11},
		{"grace", 0, hour, minute, minute, 10},
		{"grace, refreshed before", 9, hour, minute, minute, 10},
		{"grace, as new", 10, hour, minute, hour, 10},
		{"grace, newer", 11, hour, minute, hour, 11},
		{"grace is longer than what is left", 0, minute, hour, minute, 10},
		{"grace for what would live for ever", 0, 0, minute, minute, 10},
		{"dropped", 0, hour, cache.Drop, 0, 10},
		{"dropped, as new", 10, hour, cache.Drop, 0, 10},
		{"dropped, newer", 11, hour, cache.Drop, 0, 11},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := all.again(t)
			arm(t, r.values)
			if tt.field > 0 {
				r.refresh(tt.field, "a")
			}
			r.client.Set(t.Context(), "a", "v", tt.ttl)
			removed, err := r.values.Fence(t.Context(), arm(t, r.values), at(10),
				[][]byte{[]byte("a"), []byte("not there")}, tt.grace)
			if err != nil {
				t.Fatal(err)
			}
			if gone := tt.left == 0; gone != (len(removed) == 1 && string(removed[0]) == "a") || len(removed) > 1 {
				t.Errorf("removed %q", removed)
			}
			r.wantLeft("a", tt.left)
			for key, owner := range map[string]uint64{"a": tt.owner, "not there": 10} {
				if got := r.client.HGet(t.Context(), r.values.Book(), key).Val(); len(got) != 39 ||
					got[:26] != at(owner).String() {
					t.Errorf("field of %s: %q", key, got)
				}
			}
		})
	}
}

// wantLeft: a value lives that long at most, and more than half of it.
func (r *rig) wantLeft(key string, want time.Duration) {
	r.Helper()
	if want == 0 {
		want = -2 // as Redis says of what is not there
		if left := r.client.PTTL(r.Context(), key).Val(); left != want {
			r.Errorf("%s is still there, for %v", key, left)
		}
		return
	}
	if left := r.client.PTTL(r.Context(), key).Val(); left > want || left <= want/2 {
		r.Errorf("%s lives for %v, not for %v", key, left, want)
	}
}

// Fences that follow each other never prolong the grace.
func TestFenceAgain(t *testing.T) {
	r := newRig(t)
	arm(t, r.values)
	r.client.Set(t.Context(), "a", "v", time.Hour)
	r.fence(10, "a", time.Minute)
	r.wantLeft("a", time.Minute)
	r.client.PExpire(t.Context(), "a", time.Second) // as if time had passed
	r.fence(10, "a", time.Minute)
	r.fence(11, "a", time.Minute)
	r.fence(12, "a", time.Hour)
	r.wantLeft("a", time.Second)
	if v := r.client.Get(t.Context(), "a").Val(); v != "v" {
		t.Errorf("a is %q on its grace", v)
	}
	r.fence(13, "a", 0)
	r.wantLeft("a", 0)
}

// Where nothing is armed, a fence has nothing to remember; the value goes all the
// same.
func TestFenceWithoutABook(t *testing.T) {
	all := newRig(t)
	for _, tt := range []struct{ grace, left time.Duration }{{0, 0}, {cache.Drop, 0}, {time.Minute, time.Minute}} {
		r := all.again(t)
		a := arm(t, r.values)
		r.lose()
		r.client.Set(t.Context(), "a", "v", time.Hour)
		if _, err := r.values.Fence(t.Context(), a, at(10), [][]byte{[]byte("a")}, tt.grace); err != nil {
			t.Error(err)
		}
		r.wantLeft("a", tt.left)
		if n := r.client.Exists(t.Context(), r.values.Book()).Val(); n != 0 {
			t.Error("the fence has begun a book")
		}
	}
}

// A fence that armed under a book that was lost begins again: nobody knows any more
// what its stamp is worth among those of the new one.
func TestFenceInAnotherBook(t *testing.T) {
	r := newRig(t)
	a := arm(t, r.values)
	r.lose()
	arm(t, r.other)
	r.client.Set(t.Context(), "a", "v", time.Hour)
	if gone, err := r.values.Fence(t.Context(), a, at(10), [][]byte{[]byte("a")}, 0); len(gone) != 0 ||
		!errors.Is(err, cache.ErrLost) {
		t.Errorf("%q, %v", gone, err)
	}
	r.wantLeft("a", time.Hour)
	if f := r.field("a"); f != "" {
		t.Errorf("field %q", f)
	}
}

// A fence of more keys than one script takes tells all that it removed.
func TestFenceOfMany(t *testing.T) {
	r := newRig(t)
	arm(t, r.values)
	var keys, there [][]byte
	for i := range 450 {
		key := []byte{byte(i >> 8), byte(i)}
		keys = append(keys, key)
		if i%3 == 0 {
			there = append(there, key)
			r.client.Set(t.Context(), string(key), "v", time.Hour)
		}
	}
	removed, err := r.values.Fence(t.Context(), arm(t, r.values), at(10), keys, 0)
	if err != nil || !slices.EqualFunc(removed, there, slices.Equal) {
		t.Errorf("%d removed, %v; want %d in their order", len(removed), err, len(there))
	}
	if removed, err := r.values.Fence(t.Context(), arm(t, r.values), at(10), nil, 0); len(removed) > 0 || err != nil {
		t.Errorf("of nothing %q were removed, %v", removed, err)
	}
}
