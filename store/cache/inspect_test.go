package cache_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store/cache"
	"github.com/stokerhq/stoker/store/storetest"
)

// Every kind of value is seen as what it is, with what the book has of it.
func TestSee(t *testing.T) {
	c, client := newCache(t)
	ctx := t.Context()
	client.Set(ctx, "text", "value", time.Hour)
	client.Set(ctx, "empty", "", 0)
	client.HSet(ctx, "hash", "a", "1", "b", "")
	client.RPush(ctx, "list", "x")
	a, s := stamp(t, c, 7)
	if _, err := c.Fence(ctx, a, s, [][]byte{[]byte("text")}, time.Minute); err != nil {
		t.Fatal(err)
	}
	for typ, want := range map[jobs.Type]string{
		jobs.TypeString: `text "value" map[] false; empty "" map[] false; hash "" map[] true; list "" map[] true; none gone; `,
		jobs.TypeHash:   `text "" map[] true; empty "" map[] true; hash "" map[a:1 b:] false; list "" map[] true; none gone; `,
	} {
		keys := []string{"text", "empty", "hash", "list", "none"}
		var got strings.Builder
		err := c.Observe(ctx, typ, keys, func(i int, s cache.Seen) {
			if !s.There() {
				fmt.Fprintf(&got, "%s gone; ", keys[i])
			} else {
				fmt.Fprintf(&got, "%s %q %v %v; ", keys[i], s.Text, s.Hash, s.Other)
			}
			if (s.TTL > 0) != (i == 0) || s.TTL > time.Minute || (s.Mark != "") != (i == 0) {
				t.Errorf("%s: TTL %s, mark %q", keys[i], s.TTL, s.Mark)
			}
		})
		if err != nil || got.String() != want {
			t.Errorf("%s: %v\n got %s\nwant %s", typ, err, got.String(), want)
		}
	}
}

// Many keys are seen in their order, whatever the size of a step.
func TestSeeManyKeys(t *testing.T) {
	c, client := newCache(t)
	var keys []string
	for i := range 700 {
		k := fmt.Sprint("k:", i)
		keys = append(keys, k)
		client.Set(t.Context(), k, strings.Repeat("x", i*i), time.Hour)
	}
	var sizes []int
	err := c.Values(t.Context(), jobs.TypeString, keys, func(i int, s cache.Seen) {
		if i != len(sizes) {
			t.Fatalf("key %d comes as number %d", i, len(sizes))
		}
		sizes = append(sizes, s.Size())
	})
	if err != nil || len(sizes) != len(keys) || sizes[26] != 26*26 || sizes[699] != 699*699 {
		t.Errorf("%d keys, %v", len(sizes), err)
	}
}

// Scan names the keys of a template and no others, also where it holds what has
// a meaning in a pattern.
func TestScan(t *testing.T) {
	c, client := newCache(t)
	ctx := t.Context()
	var want []string
	for i := range 1200 {
		want = append(want, fmt.Sprintf("a*[b]?:%d", i))
		client.Set(ctx, want[i], "x", 0)
	}
	client.Set(ctx, "axxb?:1", "x", 0)
	template, err := jobs.ParseKeyTemplate("a*[b]?:{id}")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	if err := c.Scan(ctx, template.Pattern(), func(keys []string) error {
		got = append(got,
			keys...)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	slices.Sort(got)
	slices.Sort(want)
	if got = slices.Compact(got); !slices.Equal(got, want) {
		t.Errorf("%d keys, want %d", len(got), len(want))
	}
}

func TestChunk(t *testing.T) {
	c, _ := newCache(t)
	cl := claimRun(t, c, 1)
	m := cl.NewManifest()
	for _, text := range []string{"first", "second"} {
		if err := c.KeepChunk(t.Context(), "product", &m, []byte(text), time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	if b, err := c.Chunk(t.Context(), "product", m, 1); string(b) != "second" || err != nil {
		t.Errorf("%q, %v", b, err)
	}
	if _, err := c.Chunk(t.Context(), "product", m, 2); !cache.NoManifest(err) {
		t.Errorf("a chunk that is not there: %v", err)
	}
}

// What cannot be read is an error, not a missing key.
func TestSeeFails(t *testing.T) {
	server := storetest.OwnRedis(t)
	c := cache.New(client(t, server.URL(0)), time.Minute)
	if err := server.Close(); err != nil {
		t.Fatal(err)
	}
	if err := c.Observe(t.Context(), jobs.TypeString, []string{"k"},
		func(int, cache.Seen) { t.Error("seen") }); err == nil {
		t.Error("no error")
	}
	if err := c.Scan(t.Context(), "*", func([]string) error { return nil }); err == nil {
		t.Error("no error")
	}
}
