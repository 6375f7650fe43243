package cache_test

import (
	"math/rand/v2"

	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/cache"
)

// remembered is what the last complete run knows.
type remembered struct {
	m    cache.Manifest
	rows [raceKeys]uint64
}

// run writes all rows of one snapshot, and leaves alone what is as the last
// complete run has left it.
func (r *race) run(c *cache.Cache) {
	a, s, rows, err := r.begin(c, raceThink)
	var cl *cache.Claim
	if err == nil {
		cl, err = c.ClaimRun(r.Context(), a, product, s, cache.NewID())
	}
	if r.outcome(c, a, cache.Outcome{}, err); err != nil {
		return
	}
	defer cl.Close()
	if rand.IntN(4) == 0 {
		cl.ByScript()
	}
	r.mu.Lock()
	last := r.last
	r.mu.Unlock()
	trust, m := cl.Trust(last.m), cl.NewManifest()
	const together = 4
	for first := 0; first < raceKeys; first += together {
		var b store.Batch
		for row := first; row < first+together; row++ {
			r.add(&b, row, rows)
			if trust && last.rows[row] == rows[row] {
				b.Keep(rand.IntN(2) == 0)
			}
		}
		out, err := c.Put(r.Context(), cl, &b)
		if r.outcome(c, a, out, err); err != nil {
			return
		}
		pause(raceLife / 100)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last = remembered{m, rows}
}

func (r *race) add(b *store.Batch, row int, rows [raceKeys]uint64) {
	e := r.entry(row, rows)
	keyAt := len(b.Buf)
	b.Buf = append(b.Buf, e.Key...)
	valueAt := len(b.Buf)
	b.Buf = append(b.Buf, e.Value...)
	b.Add(keyAt, valueAt, e.TTL)
}
