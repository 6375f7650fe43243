package verify

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/cache"
	"github.com/stokerhq/stoker/store/manifest"
)

// cursor goes through the keys that the last complete run of a job has left, from a
// random one on, and then again. A key whose place has changed in between, because
// a run has left another order, may be passed over once.
type cursor struct {
	env    *Verifier
	job    *jobs.Job
	doubts *recheckQueue
	credit float64 // of turns
	counts store.Audit

	m     cache.Manifest
	read  time.Time // when m was
	begun bool
	chunk int          // the next to be read
	keys  []*candidate // what is left of the one at hand

	done  int64     // keys of this round
	since time.Time // when this round began
	whole time.Time // when the last round that is complete began; zero: none is
}

func newCursor(env *Verifier, job *jobs.Job) *cursor {
	k := &cursor{env: env, job: job, doubts: newRecheckQueue(env, job)}
	k.doubts.notYetPromised = func(s store.Snapshot) bool {
		return !k.doubts.hasFeed && (s.Clock != k.m.Stamp.Clock || s.Place != k.m.Place)
	}
	return k
}

// reset forgets where the walk was.
func (k *cursor) reset() {
	k.begun, k.keys, k.whole = false, nil, time.Time{}
	k.doubts.forget()
}

// manifestEvery is how often it is looked for a newer run.
const manifestEvery = 2 * time.Second

// renew reads what the last complete run has left, now and then.
func (k *cursor) renew(ctx context.Context) error {
	if time.Since(k.read) < manifestEvery {
		return nil
	}
	m, ok, err := k.env.cache.Manifest(ctx, k.job.Name)
	if err != nil {
		return err
	}
	if k.read = time.Now(); !ok || m.Key != k.job.Key.String() {
		m = cache.Manifest{} // never run, or keys of another spec's
	}
	k.m = m
	return nil
}

// step puts the next keys in doubt, n at most, and returns how many it came by.
func (k *cursor) step(ctx context.Context, n int) (int, error) {
	if !k.begun {
		k.begun, k.since, k.done = true, time.Now(), 0
		k.chunk = rand.IntN(max(1, k.m.Chunks))
	}
	if len(k.keys) == 0 {
		if err := k.load(ctx); err != nil {
			if cache.NoManifest(err) { // a new run has taken its place
				k.read = time.Time{}
				return 1, nil
			}
			return 0, err
		}
	}
	n = min(n, len(k.keys))
	for _, s := range k.keys[:n] {
		k.doubts.add(s)
	}
	k.keys = k.keys[n:]
	if k.done += int64(n); k.done >= k.m.Keys {
		k.whole, k.since, k.done = k.since, time.Now(), 0
		k.count(store.Audit{Confirm: k.whole})
	}
	return max(n, 1), nil
}

// load reads the next chunk.
func (k *cursor) load(ctx context.Context) error {
	if k.chunk >= k.m.Chunks {
		k.chunk = 0
	}
	text, err := k.env.cache.Chunk(ctx, k.job.Name, k.m, k.chunk)
	if err != nil {
		return err
	}
	k.chunk++
	for e, err := range manifest.Read(oneChunk(text)) {
		if err != nil {
			return err
		}
		if e.Digest != manifest.Held {
			k.keys = append(k.keys, &candidate{key: string(e.Key), digest: e.Digest})
		}
	}
	return nil
}

// count adds to what the ledger is to be told.
func (k *cursor) count(n store.Audit) {
	k.counts.Checked += n.Checked
	k.counts.Stale += n.Stale
	k.counts.Missing += n.Missing
	k.counts.Repaired += n.Repaired
	if !n.Confirm.IsZero() {
		k.counts.Confirm = n.Confirm
	}
}
