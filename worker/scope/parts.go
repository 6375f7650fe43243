package scope

import (
	"context"
	"hash/maphash"
	"sync"
	"time"

	"github.com/stokerhq/stoker/jobs"
)

const (
	// together is how many parts are fenced at once: Redis, the database and this process each work on another one.
	together = 4
	// partLimit is how long a part may take that was begun, also when the call has ended.
	partLimit = 5 * time.Second
)

// inParts has parts fenced while produce gives more, and hands each that is fenced to fenced, one at a time. The
// first error ends it; what is fenced by then is handed over all the same.
func inParts(ctx context.Context, fenced func([]jobs.Key) error, fence func(context.Context, part) error,
	produce func(give func(part) error) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	parts, done := make(chan part), make(chan []jobs.Key, together)
	var fencers, collector sync.WaitGroup
	for range together {
		fencers.Go(func() {
			for p := range parts {
				whole, end := context.WithTimeout(context.WithoutCancel(ctx), partLimit)
				err := fence(whole, p)
				end()
				if err != nil {
					cancel(err)
					continue
				}
				done <- p.keys
			}
		})
	}
	collector.Go(func() {
		for keys := range done {
			if err := fenced(keys); err != nil {
				cancel(err)
			}
		}
	})
	err := produce(func(p part) error {
		if ctx.Err() != nil { // select would choose by lot
			return context.Cause(ctx)
		}
		select {
		case parts <- p:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	})
	close(parts)
	fencers.Wait()
	close(done)
	collector.Wait()
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// keySet is the keys that were given already, by a hash: of a million keys it takes some 16 MB. Two that have one
// hash are so rare that it does not happen. The zero keySet has no keys and takes none.
type keySet struct {
	job   *jobs.Job
	seed  maphash.Seed
	texts map[uint64]struct{}
}

func newKeySet(job *jobs.Job) keySet {
	return keySet{job: job, seed: maphash.MakeSeed(), texts: make(map[uint64]struct{})}
}

// add adds a key, and reports whether it is new.
func (s keySet) add(key jobs.Key) bool {
	if s.texts == nil {
		return true
	}
	sum := maphash.String(s.seed, key.Text(s.job))
	if _, is := s.texts[sum]; is {
		return false
	}
	s.texts[sum] = struct{}{}
	return true
}
