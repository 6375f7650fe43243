package verify

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"slices"

	"github.com/stokerhq/stoker/store/cache"
	"github.com/stokerhq/stoker/store/manifest"
)

// sample puts so many keys of the last complete run in doubt, each with the same
// chance.
func (v *comparison) sample(ctx context.Context, n int) error {
	m, ok, err := v.env.cache.Manifest(ctx, v.job.Name)
	if err != nil {
		return err
	}
	if !ok || m.Key != v.job.Key.String() {
		return fmt.Errorf("job %s: no complete run is remembered that a sample could be taken of: stoker warm %s, "+
			"or verify without --sample", v.job.Name, v.job.Name)
	}
	v.at.Expected = min(int64(n), m.Keys)
	for chunk, places := range pick(m, n) {
		text, err := v.env.cache.Chunk(ctx, v.job.Name, m, chunk)
		if err != nil {
			return err
		}
		next := 0
		for e, err := range manifest.Read(oneChunk(text)) {
			if err != nil {
				return err
			}
			if _, is := places[next]; is && e.Digest != manifest.Held {
				v.recheck.add(&candidate{key: string(e.Key)})
			}
			next++
		}
	}
	return nil
}

// pick chooses n of the keys of a manifest, or all of them, and yields chunk by
// chunk the places in it. Every chunk of the result but the last is full; what is
// held comes after.
func pick(m cache.Manifest, n int) iter.Seq2[int, map[int]struct{}] {
	return func(yield func(int, map[int]struct{}) bool) {
		chunks := make(map[int]map[int]struct{})
		for chosen := 0; chosen < int(min(int64(n), m.Keys, mostDoubts)); {
			at := int(rand.Int64N(m.Keys))
			chunk, place := at/manifest.ChunkKeys, at%manifest.ChunkKeys
			if chunks[chunk] == nil {
				chunks[chunk] = make(map[int]struct{})
			}
			if _, again := chunks[chunk][place]; !again {
				chunks[chunk][place] = struct{}{}
				chosen++
			}
		}
		for _, chunk := range slices.Sorted(maps.Keys(chunks)) {
			if !yield(chunk, chunks[chunk]) {
				return
			}
		}
	}
}

// oneChunk is a manifest of one chunk.
func oneChunk(text []byte) manifest.Chunks {
	return func(yield func([]byte, error) bool) { yield(text, nil) }
}
