package worker

import (
	"context"

	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/cache"
	"github.com/stokerhq/stoker/store/manifest"
	"github.com/stokerhq/stoker/worker/render"
)

// What Redis has beyond the manifest of the last complete run must be known, too, or it stays when its row
// goes and no change reports it: keys that refreshes have brought, and runs that did not complete.

// mostJournals bounds what runs that fail again and again leave behind: they bring
// the same keys.
const mostJournals = 4

// journal is what a run writes down of what it brings, before that is on its way: if the run does not
// complete, the next one knows what it has left.
type journal struct {
	ctx   context.Context
	r     *run
	claim *cache.Claim

	off       bool           // runs that failed have left enough journals
	begun     bool           // there is a journal of this run
	unwritten manifest.Chunk // keys that the last manifest does not have as they are
}

// add adds a key that the last manifest does not have as it is.
func (j *journal) add(key []byte, digest uint64) { j.unwritten.Add(key, digest) }

// withJournal returns send with the journal before it: the first entry is a command of its own, the others go
// with the batch.
func (j *journal) withJournal(send render.Send) render.Send {
	return func(b *store.Batch) (*store.Batch, error) {
		switch {
		case j.unwritten.Len() == 0 || j.off:
		case j.begun:
			b.Journal = append(b.Journal, j.unwritten.Bytes()...)
		default:
			if err := j.r.w.calls.beginJournal(j.ctx, j.claim, j.r.job, j.unwritten.Bytes()); err != nil {
				return nil, err
			}
			j.begun = true
		}
		j.unwritten.Reset()
		return send(b)
	}
}

// removeUntracked removes the keys that refreshes, and runs that did not complete, have
// brought since the last complete run and that the result does not have.
func (r *run) removeUntracked(ctx context.Context, claim *cache.Claim, m *manifestState, now manifest.Chunks) error {
	remove := r.remover(ctx, claim, r.w.cache.PutUntracked)
	for _, id := range m.untracked.Journals {
		for key, err := range manifest.Vanished(r.w.cache.Journaled(ctx, r.job.Name, id), now, m.next.Keys) {
			if err == nil {
				err = remove(key)
			}
			if err != nil {
				return err
			}
		}
	}
	for key, present := range m.untracked.Keys {
		if present && !r.rec.Removal {
			continue
		}
		if err := remove([]byte(key)); err != nil {
			return err
		}
	}
	return remove(nil)
}
