package worker

import (
	"context"

	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/cache"
	"github.com/stokerhq/stoker/store/manifest"
)

// What is there beyond the manifest of the last complete run must be known, too, or
// it stays when its row goes and nothing tells of it: keys that refreshes have
// brought, and runs that did not complete.

// mostJournals bounds what runs that fail again and again leave behind: they bring
// the same keys.
const mostJournals = 4

// ahead writes down what a batch brings, before it is on its way: if the run does
// not complete, the next one knows what it has left.
func (m *manifestState) ahead(send func(*store.Batch) (*store.Batch, error)) func(*store.Batch) (*store.Batch, error) {
	return func(b *store.Batch) (*store.Batch, error) {
		switch {
		case m.unjournaled.Len() == 0 || len(m.untracked.Journals) >= mostJournals:
		case m.journaled:
			b.Journal = append(b.Journal, m.unjournaled.Bytes()...)
		default:
			if err := m.r.w.calls.beginJournal(m.ctx, m.claim, m.r.job, m.unjournaled.Bytes()); err != nil {
				return nil, err
			}
			m.journaled = true
		}
		m.unjournaled.Reset()
		return send(b)
	}
}

// foreign reports whether the last run had another key template. Its keys may be
// another job's by now: they have their TTL.
func (m *manifestState) foreign() bool { return m.hasPrevious && m.previous.Key != m.next.Key }

// forgetUntracked says that the manifest, which was kept, has what the run has brought, and
// the untracked keys that are in the result. What it has not was removed, unless it is
// held.
func (m *manifestState) forgetUntracked(ctx context.Context) error {
	ids := m.untracked.Journals
	if m.retained {
		ids = nil
	}
	if m.journaled {
		ids = append(ids, m.next.ID)
	}
	if err := m.r.w.cache.DropJournals(ctx, m.r.job.Name, ids); err != nil {
		return err
	}
	var keys [][]byte
	for key, present := range m.untracked.Keys {
		if present || m.foreign() {
			keys = append(keys, []byte(key))
		}
	}
	return m.r.w.cache.ForgetUntracked(ctx, m.claim, keys)
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
