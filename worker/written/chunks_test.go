package written

import (
	"math/rand/v2"
	"testing"

	"github.com/stokerhq/stoker/store"
)

// A chunk counts once all of its keys are written, whatever the order in which batches are; the last key of a chunk may
// be in the batch that is sent after the chunk was kept.
//
// Broken by: a chunk that counts when it is kept, when its batch is sent, or with a batch that was sent later.
func TestChunksCountOnceTheyAreWritten(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		const chunk, inFlight = 7, 6
		var c Chunks
		pool := make([]store.Batch, inFlight)
		var free []*store.Batch
		for i := range pool {
			free = append(free, &pool[i])
		}
		type flight struct {
			batch    *store.Batch
			from, to int // keys
		}
		var flying []flight
		done := make([]bool, 4000)
		kept, sent, told := 0, 0, 0
		write := func() {
			i := r.IntN(len(flying))
			f := flying[i]
			flying = append(flying[:i], flying[i+1:]...)
			for k := f.from; k < f.to; k++ {
				done[k] = true
			}
			c.Written(f.batch, func(chunks int) {
				if chunks <= told || chunks > kept {
					t.Fatalf("seed %d: %d chunks after %d, of %d", seed, chunks, told, kept)
				}
				told = chunks
				for k := range chunks * chunk {
					if !done[k] {
						t.Fatalf("seed %d: %d chunks count, and key %d is not written", seed, chunks, k)
					}
				}
			})
			free = append(free, f.batch)
		}
		for key := range len(done) {
			kept = (key + 1) / chunk
			if full := key - sent; full > 0 && r.IntN(9) == 0 { // the key at hand is for the next batch
				for len(free) == 0 || len(flying) > 0 && r.IntN(3) == 0 {
					write()
				}
				b := free[0]
				free = free[1:]
				flying = append(flying, flight{b, sent, key})
				c.Sent(b, kept)
				sent = key
			}
		}
		for len(flying) > 0 {
			write()
		}
		if told < kept*9/10 || c.Count() != told {
			t.Errorf("seed %d: only %d of %d chunks count", seed, told, kept)
		}
	}
}
