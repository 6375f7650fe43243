package written

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stokerhq/stoker/store"
)

// counter is Chunks, or a broken one.
type counter interface {
	Sent(b *store.Batch, kept int)
	Written(b *store.Batch, keep func(chunks int))
}

// early counts a chunk with the batch that is sent after it was kept, which lacks its last key at times.
type early struct{ Chunks }

func (e *early) Sent(b *store.Batch, kept int) {
	e.last = kept
	e.Chunks.Sent(b, kept)
}

// unordered counts the chunks of a batch as soon as that is written, whatever was sent before.
type unordered struct{ Chunks }

func (u *unordered) Written(b *store.Batch, keep func(chunks int)) {
	for i := range u.sent {
		if u.sent[i].batch == b {
			count := u.sent[i].chunks
			u.sent = append(u.sent[:i], u.sent[i+1:]...)
			if count > u.count {
				u.count = count
				keep(count)
			}
			return
		}
	}
}

// A chunk counts once all of its keys are written, whatever the order in which batches are; the last key of a chunk may
// be in the batch that is sent after the chunk was kept.
func TestChunksCountOnceTheyAreWritten(t *testing.T) {
	for name, test := range map[string]struct {
		make  func() counter
		sound bool
	}{
		"as it is":  {func() counter { return &Chunks{} }, true},
		"early":     {func() counter { return &early{} }, false},
		"unordered": {func() counter { return &unordered{} }, false},
	} {
		t.Run(name, func(t *testing.T) {
			var wrong error
			for seed := range uint64(200) {
				if err := story(test.make(), rand.New(rand.NewPCG(seed, 1))); err != nil && wrong == nil {
					wrong = fmt.Errorf("seed %d: %w", seed, err)
				}
			}
			if (wrong == nil) != test.sound {
				t.Errorf("%v, and it is sound: %v", wrong, test.sound)
			}
		})
	}
}

// run is a run whose chunks have a few keys, and whose batches are written in any order.
type run struct {
	c           counter
	r           *rand.Rand
	free        []*store.Batch
	flying      []flight
	done        []bool // :: key -> it is written
	kept, count int
	wrong       error
}

// flight is a batch on its way, with keys from and up to a number.
type flight struct {
	batch    *store.Batch
	from, to int
}

const keysOfChunk = 7

// story is a whole run. It returns what was wrong.
func story(c counter, r *rand.Rand) error {
	s := run{c: c, r: r, done: make([]bool, 4000)}
	for range 6 {
		s.free = append(s.free, &store.Batch{})
	}
	sent := 0
	for key := range s.done {
		s.kept = (key + 1) / keysOfChunk
		if key == sent || r.IntN(9) > 0 {
			continue
		}
		for len(s.free) == 0 || len(s.flying) > 0 && r.IntN(3) == 0 {
			s.write()
		}
		s.flying = append(s.flying, flight{s.free[0], sent, key}) // the key at hand is for the next batch
		c.Sent(s.free[0], s.kept)
		s.free, sent = s.free[1:], key
	}
	for len(s.flying) > 0 {
		s.write()
	}
	if s.wrong == nil && s.count < s.kept*9/10 {
		return fmt.Errorf("only %d of %d chunks count", s.count, s.kept)
	}
	return s.wrong
}

// write writes one of the batches.
func (s *run) write() {
	i := s.r.IntN(len(s.flying))
	f := s.flying[i]
	s.flying = append(s.flying[:i], s.flying[i+1:]...)
	for key := f.from; key < f.to; key++ {
		s.done[key] = true
	}
	s.c.Written(f.batch, func(chunks int) {
		if chunks <= s.count || chunks > s.kept {
			s.wrong = fmt.Errorf("%d chunks after %d, of %d", chunks, s.count, s.kept)
		}
		s.count = chunks
		for key := range chunks * keysOfChunk {
			if !s.done[key] && s.wrong == nil {
				s.wrong = fmt.Errorf("%d chunks count, and key %d is not written", chunks, key)
			}
		}
	})
	s.free = append(s.free, f.batch)
}
