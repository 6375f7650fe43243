package cache_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/cache"
)

// Broken by: an arm beside a format that is not known; a number that is lowered, or missing after an epoch of a version
// without numbers; an upgrade that begins an epoch.
func TestFormat(t *testing.T) {
	r := newRig(t)
	format := func() string { return r.client.HGet(t.Context(), epochKey, "format").Val() }
	mustStamp(r, r.values, 100, "A")
	if got := format(); got != "2" {
		t.Errorf("a new record has format %q", got)
	}
	epoch := r.epoch()
	for found, refused := range map[string]bool{"": false, "1": false, "2": false, "3": true, "2b": true} {
		r.client.HSet(t.Context(), epochKey, "format", found)
		if found == "" {
			r.client.HDel(t.Context(), epochKey, "format")
		}
		a, err := r.values.Renew(t.Context())
		_, is := errors.AsType[*store.FormatError](err)
		if is != refused || (a == nil) != refused || cache.Again(err) {
			t.Errorf("format %q: %v", found, err)
		}
		if refused && !strings.Contains(err.Error(), "redis of the cache has format "+found) {
			t.Errorf("format %q: %v", found, err)
		}
		want := "2"
		if refused {
			want = found
		}
		if got := format(); got != want {
			t.Errorf("format %q became %q", found, got)
		}
		if _, err := r.values.CheckFormat(t.Context()); (err != nil) != refused {
			t.Errorf("format %q: %v", found, err)
		}
		if _, err := r.values.Lost(t.Context()); (err != nil) != refused {
			t.Errorf("format %q is seen as a loss, or not: %v", found, err)
		}
	}
	if now := r.epoch(); now != epoch {
		t.Errorf("epoch %d became %d", epoch, now)
	}
}

// Two namespaces and none, with one key in all three. Broken by: a fence, an epoch or a manifest of another's.
func TestNamespacesOfACache(t *testing.T) {
	r := newRig(t)
	a, b := cache.NewIn("a", r.client, time.Minute), cache.NewIn("b", r.client, time.Minute)
	for _, c := range []*cache.Cache{r.values, a, b} {
		mustStamp(r, c, 100, "A")
	}
	if err := a.Gap(t.Context()); err != nil {
		t.Fatal(err)
	}
	epoch := func(c *cache.Cache) uint32 {
		now, _, err := c.Epoch(t.Context())
		if err != nil {
			t.Error(err)
		}
		return now
	}
	if epoch(a) != epoch(b)+1 || epoch(b) != epoch(r.values) {
		t.Errorf("epochs %d, %d, %d", epoch(r.values), epoch(a), epoch(b))
	}
	for _, key := range r.client.Keys(t.Context(), "*").Val() {
		if !strings.HasPrefix(key, "stoker:ns:a:") && !strings.HasPrefix(key, "stoker:ns:b:") && key != epochKey &&
			key != "stoker:{cache}:book" {
			t.Errorf("key %s", key)
		}
	}
	r.client.Del(t.Context(), "stoker:ns:b:{cache}:book", "stoker:ns:b:epoch:postgres")
	for c, want := range map[*cache.Cache]bool{r.values: false, a: false, b: true} {
		if why, err := c.Lost(t.Context()); (why != "") != want || err != nil {
			t.Errorf("lost: %q, %v", why, err)
		}
	}
}
