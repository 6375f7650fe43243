package manifest_test

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stokerhq/stoker/store/manifest"
)

type pair struct {
	key    string
	digest uint64
}

// chunks writes pairs, size a chunk.
func chunks(pairs []pair, size int) manifest.Chunks {
	return func(yield func([]byte, error) bool) {
		var c manifest.Chunk
		for part := range slices.Chunk(pairs, size) {
			c.Reset()
			for _, p := range part {
				c.Add([]byte(p.key), p.digest)
			}
			if !yield(c.Bytes(), nil) {
				return
			}
		}
	}
}

func pairs(n int) []pair {
	out := make([]pair, n)
	for i := range out {
		out[i] = pair{fmt.Sprintf("product:%d", i), uint64(i) + 1}
	}
	return out
}

func read(t testing.TB, c manifest.Chunks) (out []pair) {
	t.Helper()
	for e, err := range manifest.Read(c) {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, pair{string(e.Key), e.Digest})
	}
	return out
}

var compare = cmp.AllowUnexported(pair{})

func TestChunksHoldWhatWasAdded(t *testing.T) {
	hard := []pair{{"", 1}, {"a", 2}, {"ab", 3}, {"", 4}, {strings.Repeat("x", 3000), 5},
		{strings.Repeat("x", 2999) + "y", ^uint64(0)}, {"a\x00b", 0}, {"a\x00b", 0}}
	for _, in := range [][]pair{nil, hard, pairs(10_000)} {
		for _, size := range []int{1, 3, manifest.ChunkKeys} {
			if d := cmp.Diff(in, read(t, chunks(in, size)), compare); d != "" {
				t.Errorf("chunks of %d: %s", size, d)
			}
		}
	}
}

func TestKeysInOrderCostLittle(t *testing.T) {
	var c manifest.Chunk
	for _, p := range pairs(manifest.ChunkKeys) {
		c.Add([]byte(p.key), p.digest)
	}
	if perKey := float64(len(c.Bytes())) / manifest.ChunkKeys; perKey > 12 {
		t.Errorf("%.1f bytes a key", perKey)
	}
}

func TestADigestIsNeverHeld(t *testing.T) {
	if manifest.Digest([]byte("a")) == manifest.Digest([]byte("b")) {
		t.Error("two values, one digest")
	}
	if manifest.Digest(nil) == manifest.Held {
		t.Error("no value is held")
	}
}

// outcome runs a diff and returns which keys were the same and which departed.
func outcome(t *testing.T, old, now []pair) (same map[string]bool, departed []string) {
	t.Helper()
	d, err := manifest.NewDiff(chunks(old, 100))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Stop()
	same = make(map[string]bool)
	for _, p := range now {
		if same[p.key], err = d.Same([]byte(p.key), p.digest); err != nil {
			t.Fatal(err)
		}
	}
	complete, err := d.Complete()
	if err != nil {
		t.Fatal(err)
	}
	for key, err := range manifest.Vanished(chunks(old, 100), chunks(now, 100), int64(len(now))) {
		if err != nil {
			t.Fatal(err)
		}
		departed = append(departed, string(key))
	}
	slices.Sort(departed)
	if complete && len(departed) > 0 {
		t.Errorf("the diff says nothing is gone, but %d keys are", len(departed))
	}
	return same, departed
}

// change makes the next run of a result: some rows are gone, some new, some
// changed, and some elsewhere.
func change(r *rand.Rand, old []pair, share float64, mix func([]pair)) (now []pair, changed, gone map[string]bool) {
	changed, gone = map[string]bool{}, map[string]bool{}
	for _, p := range old {
		switch x := r.Float64(); {
		case x < share:
			gone[p.key] = true
			continue
		case x < 2*share:
			p.digest += 1 << 40
			changed[p.key] = true
		case x < 3*share:
			q := pair{p.key + "+", 7}
			changed[q.key] = true
			now = append(now, q)
		}
		now = append(now, p)
	}
	mix(now)
	return now, changed, gone
}

func TestDiff(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	mixes := map[string]func([]pair){
		"in order": func([]pair) {},
		"some moved": func(p []pair) { // as rows that were updated lie elsewhere
			for range len(p) / 100 {
				i, j := r.IntN(len(p)), r.IntN(len(p))
				p[i], p[j] = p[j], p[i]
			}
		},
		"rotated":  func(p []pair) { slices.Reverse(p); slices.Reverse(p[:len(p)/3]); slices.Reverse(p[len(p)/3:]) },
		"backward": slices.Reverse[[]pair],
		"shuffled": func(p []pair) { r.Shuffle(len(p), func(i, j int) { p[i], p[j] = p[j], p[i] }) },
	}
	for name, mix := range mixes {
		for _, share := range []float64{0, 0.01, 0.3} {
			t.Run(fmt.Sprint(name, " ", share), func(t *testing.T) {
				old := pairs(80_000)
				now, changed, gone := change(r, old, share, mix)
				same, departed := outcome(t, old, now)
				found := 0
				for _, p := range now {
					if same[p.key] && changed[p.key] {
						t.Fatalf("%s has changed, and counts as the same", p.key)
					}
					if same[p.key] {
						found++
					}
				}
				if d := cmp.Diff(slices.Sorted(maps.Keys(gone)), departed); d != "" {
					t.Error("departed keys:", d)
				}
				if least := int(0.97 * float64(len(now)-len(changed))); found < least && share < 0.1 &&
					(name == "in order" || name == "some moved") {
					t.Errorf("%d of %d unchanged keys were found, want %d", found, len(now)-len(changed), least)
				}
			})
		}
	}
}

// What most runs find is found without another look at both manifests.
func TestCompleteWithoutMissing(t *testing.T) {
	old := pairs(50_000)
	for name, tt := range map[string]struct {
		now  []pair
		want bool
	}{
		"the same":     {old, true},
		"more":         {append(slices.Clone(old), pair{"new", 1}), true},
		"moved back":   {append(slices.Clone(old[100:]), old[:100]...), true},
		"moved ahead":  {append(slices.Clone(old[49_900:]), old[:49_900]...), true},
		"one less":     {old[1:], false},
		"the last too": {old[:49_999], false},
	} {
		d, err := manifest.NewDiff(chunks(old, 4096))
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range tt.now {
			if _, err := d.Same([]byte(p.key), p.digest); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := d.Complete(); err != nil || got != tt.want {
			t.Errorf("%s: complete is %v, %v", name, got, err)
		}
		d.Stop()
	}
}

// Two rows of one key are one key: when one goes, the key has not departed.
func TestTwoRowsOfOneKey(t *testing.T) {
	if _, departed := outcome(t, []pair{{"a", 1}, {"k", 1}, {"k", 2}}, []pair{{"a", 1}, {"k", 2}}); len(departed) > 0 {
		t.Errorf("departed: %v", departed)
	}
}

func TestDiffWithNothing(t *testing.T) {
	if same, departed := outcome(t, nil, pairs(3)); len(departed) > 0 || same["product:1"] {
		t.Error("an empty manifest has keys")
	}
	if _, departed := outcome(t, pairs(3), nil); len(departed) != 3 {
		t.Errorf("%d keys departed, want all three", len(departed))
	}
}

// A key that was held is never the same, and departs again until it comes back.
func TestHeldKeys(t *testing.T) {
	old := []pair{{"a", 1}, {"b", manifest.Held}, {"c", manifest.Held}}
	same, departed := outcome(t, old, []pair{{"a", 1}, {"c", 9}})
	if !same["a"] || same["c"] {
		t.Errorf("same: %v", same)
	}
	if d := cmp.Diff([]string{"b"}, departed); d != "" {
		t.Error(d)
	}
}

func TestMissingTakesSeveralPasses(t *testing.T) {
	old := pairs(600_000)
	var gone []string
	for key, err := range manifest.Vanished(chunks(old, 4096), chunks(old[2:], 4096), int64(len(old)-2)) {
		if err != nil {
			t.Fatal(err)
		}
		gone = append(gone, string(key))
	}
	slices.Sort(gone)
	if d := cmp.Diff([]string{"product:0", "product:1"}, gone); d != "" {
		t.Error(d)
	}
}

func TestABrokenManifestIsAnError(t *testing.T) {
	broken := errors.New("broken")
	fail := func(yield func([]byte, error) bool) { yield(nil, broken) }
	if _, err := manifest.NewDiff(fail); !errors.Is(err, broken) {
		t.Error(err)
	}
	var c manifest.Chunk
	c.Add([]byte("product:1"), 1)
	for cut := 1; cut < len(c.Bytes()); cut++ {
		var err error
		for _, e := range manifest.Read(func(yield func([]byte, error) bool) { yield(c.Bytes()[:cut], nil) }) {
			err = e
		}
		if err == nil {
			t.Errorf("a chunk cut after %d of %d bytes is read", cut, len(c.Bytes()))
		}
	}
}

func FuzzRead(f *testing.F) {
	var c manifest.Chunk
	c.Add([]byte("product:1"), 1)
	c.Add([]byte("product:12"), 2)
	f.Add(c.Bytes())
	f.Add([]byte{0x80})
	f.Fuzz(func(t *testing.T, chunk []byte) {
		var again manifest.Chunk
		var all []pair
		for e, err := range manifest.Read(func(yield func([]byte, error) bool) { yield(chunk, nil) }) {
			if err != nil {
				return
			}
			again.Add(e.Key, e.Digest)
			all = append(all, pair{string(e.Key), e.Digest})
		}
		got := read(t, func(yield func([]byte, error) bool) { yield(again.Bytes(), nil) })
		if len(all)+len(got) > 0 && !slices.Equal(all, got) {
			t.Errorf("read %v, wrote and read %v", all, got)
		}
	})
}

// A kept key costs the comparison and its part of the next manifest.
func BenchmarkDiff(b *testing.B) {
	old := pairs(100_000)
	all := chunks(old, manifest.ChunkKeys)
	value := []byte(strings.Repeat("v", 300))
	keys := make([][]byte, len(old))
	for i, p := range old {
		keys[i] = []byte(p.key)
	}
	b.ReportAllocs()
	for b.Loop() {
		d, err := manifest.NewDiff(all)
		if err != nil {
			b.Fatal(err)
		}
		var c manifest.Chunk
		for i, key := range keys {
			if _, err := d.Same(key, old[i].digest); err != nil {
				b.Fatal(err)
			}
			if c.Add(key, manifest.Digest(value)); c.Len() == manifest.ChunkKeys {
				c.Reset()
			}
		}
		d.Stop()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(old)), "ns/key")
}
