package worker

import (
	"context"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/cache"
	"github.com/stokerhq/stoker/store/manifest"
	"github.com/stokerhq/stoker/worker/render"
)

// complete ends a run that has written every row: it removes the keys that are
// no longer in the result, and keeps the manifest. Then what refreshes brought is
// known from there.
func (r *run) complete(ctx context.Context, claim *cache.Claim, m *manifestState) error {
	if r.rec.Removal {
		return r.removeAll(ctx, claim, m)
	}
	m.next.flush()
	if err := r.removeVanished(ctx, claim, m); err != nil {
		m.next.discard()
		return err
	}
	if err := m.next.replace(ctx, m.previous.Manifest); err != nil || m.next.lost != nil {
		return err
	}
	return m.forgetUntracked(ctx, r.w, r.job)
}

// removeVanished handles the keys that the last manifest has, or that refreshes have brought since, and this
// one has not. They are removed, under the rules of every put; or
// held, if the result shrank so much that the query, not the data, may be what is
// wrong.
func (r *run) removeVanished(ctx context.Context, claim *cache.Claim, m *manifestState) error {
	if m.next.lost != nil {
		return nil
	}
	m.retained = r.shrunkTooMuch(m)
	old, now := r.w.cache.Chunks(ctx, r.job.Name, m.previous.Manifest),
		r.w.cache.Chunks(ctx, r.job.Name, m.next.Manifest)
	if !m.retained && !m.foreign() {
		if err := r.removeUntracked(ctx, claim, m, now); err != nil {
			return err
		}
	}
	if !m.previous.there {
		return nil
	}
	complete, err := m.previous.whole()
	if err != nil {
		return m.previous.ignore(err)
	}
	if complete || m.foreign() {
		return nil
	}
	handle := r.remover(ctx, claim, r.w.cache.Put)
	if m.retained {
		handle = r.retainVanished(m)
	}
	for key, err := range manifest.Vanished(old, now, m.next.Keys) {
		if err != nil {
			return m.previous.ignore(err)
		}
		if err := handle(key); err != nil {
			return err
		}
	}
	return handle(nil)
}

// removeReturned removes keys whose rows did not follow one another, also at the end of a run that failed: what
// was written to them is not whole.
func (r *run) removeReturned(ctx context.Context, claim *cache.Claim, keys []string) error {
	if len(keys) == 0 {
		return nil
	}
	ctx, cancel := store.Afterwards(ctx, afterwardsLimit)
	defer cancel()
	remove := r.remover(ctx, claim, r.w.cache.Put)
	for _, key := range keys {
		if err := remove([]byte(key)); err != nil {
			return err
		}
	}
	return remove(nil)
}

// shrunkTooMuch reports whether the result lost more than shrink_guard of its keys, with
// those that are held already, and no --accept-shrink has confirmed it.
func (r *run) shrunkTooMuch(m *manifestState) bool {
	before := m.previous.Keys
	if m.held() {
		before += m.previous.Held
	}
	return !r.task.AcceptShrink && float64(before-m.next.Keys) > r.job.ShrinkGuard*float64(before)
}

// remover returns a function that removes the keys it is given, in batches that put
// writes; nil ends the last one.
func (r *run) remover(ctx context.Context, claim *cache.Claim,
	put func(context.Context, *cache.Claim, *store.Batch) (cache.Outcome, error)) func(key []byte) error {
	var b store.Batch
	return func(key []byte) error {
		if key != nil {
			b.Remove(key)
		}
		if b.Len() < render.BatchKeys && key != nil {
			return nil
		}
		out, err := put(ctx, claim, &b)
		r.rec.Removed += out.Removed
		b.Reset()
		return err
	}
}

// retainVanished returns a function that notes the keys it is given as held.
func (r *run) retainVanished(m *manifestState) func(key []byte) error {
	return func(key []byte) error {
		if key != nil {
			m.next.add(key, manifest.Held)
			if m.next.Held++; m.next.HeldAt == 0 {
				m.next.HeldAt = m.next.Armed
				if m.held() {
					m.next.HeldAt = m.previous.HeldAt
				}
			}
			r.rec.Held++
			return nil
		}
		if r.rec.Held > 0 {
			r.w.log.Warn("the result shrank by more than shrink_guard: the keys that are gone from it are kept "+
				"until their TTL ends; if it is right so, run: stoker warm "+r.job.Name+" --accept-shrink",
				jobs.LogJob, r.job.Name, jobs.LogTask, r.rec.ID, "held", r.rec.Held, "keys", m.next.Keys)
		}
		return nil
	}
}

// removeAll removes, after the keys that the query returns now, those that the
// last run wrote, and that refreshes have brought since.
func (r *run) removeAll(ctx context.Context, claim *cache.Claim, m *manifestState) error {
	none := func(func([]byte, error) bool) {}
	err := r.removeUntracked(ctx, claim, m, none)
	if err == nil {
		err = r.w.cache.DropJournals(ctx, r.job.Name, m.untracked.Journals)
	}
	if err != nil || !m.previous.there {
		return err
	}
	remove := r.remover(ctx, claim, r.w.cache.Put)
	for e, err := range manifest.Read(r.w.cache.Chunks(ctx, r.job.Name, m.previous.Manifest)) {
		if err != nil {
			if err := m.previous.ignore(err); err != nil {
				return err
			}
			break
		}
		if err := remove(e.Key); err != nil {
			return err
		}
	}
	if err := remove(nil); err != nil {
		return err
	}
	return r.w.cache.DropManifest(ctx, r.job.Name, m.previous.Manifest)
}
