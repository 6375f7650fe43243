package worker

import (
	"context"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store/cache"
	"github.com/stokerhq/stoker/store/manifest"
	"github.com/stokerhq/stoker/worker/render"
)

// manifestState is what a run knows of the last complete run of its job, and what it leaves for the next one.
// Nothing depends on it but work that is saved: when a part of it is gone, or cannot be kept, the run sends
// what it must and goes on. docs/consistency.md has the whole rule.
//
//	previous ──► is the value in Redis already? ──► next      a complete run keeps it as the next previous
//	untracked ─► is the key in the result?          journal   a run that fails leaves it as untracked keys
type manifestState struct {
	previous  previousManifest
	next      nextManifest
	journal   journal
	untracked cache.Untracked // since the last complete run; of keys, whether they are in the result
	retained  bool            // what is gone from the result is held
}

// loadManifestState reads what is known of the last complete run.
func (r *run) loadManifestState(ctx context.Context, claim *cache.Claim, place string) (*manifestState, error) {
	next := claim.NewManifest()
	next.Job, next.Key, next.Place = r.job.Definition(), r.job.Key.String(), place
	m := &manifestState{
		previous: previousManifest{ctx: ctx, r: r},
		next:     nextManifest{Manifest: next, ctx: ctx, r: r, claim: claim},
		journal:  journal{ctx: ctx, r: r, claim: claim},
	}
	var err error
	if m.untracked, err = r.w.calls.untracked(ctx, r.job.Name); err != nil {
		return m, err
	}
	m.journal.off = len(m.untracked.Journals) >= mostJournals
	if err := m.previous.load(claim, next); err != nil {
		return m, err
	}
	if m.previous.trust && !m.previous.extendTTL {
		m.next.Full = m.previous.compared.Full
	}
	m.next.part = m.next.Manifest
	return m, nil
}

// state compares a value with the last run, and remembers it for the next one.
func (m *manifestState) state(key, value []byte) (render.CacheState, error) {
	digest := manifest.Digest(value)
	m.next.add(key, digest)
	m.next.Keys++
	m.next.Bytes += int64(len(key) + len(value))
	if _, isUntracked := m.untracked.Keys[string(key)]; isUntracked {
		m.untracked.Keys[string(key)] = true
	}
	same, err := m.previous.same(key, digest)
	if !same {
		m.journal.add(key, digest)
	}
	if err != nil || !same {
		return render.Absent, err
	}
	return m.previous.state(), nil
}

// foreign reports whether the last run had another key template. Its keys may be
// another job's by now: they have their TTL.
func (m *manifestState) foreign() bool { return m.previous.there && m.previous.Key != m.next.Key }

// held reports whether keys that the last run has kept may still be there.
func (m *manifestState) held() bool {
	return stillHeld(m.previous.Manifest, m.next.Armed, m.previous.r.job)
}

// forgetUntracked says that the manifest, which was kept, has what the run has brought, and
// the untracked keys that are in the result. What it has not was removed, unless it is
// held.
func (m *manifestState) forgetUntracked(ctx context.Context, w *Worker, job *jobs.Job) error {
	ids := m.untracked.Journals
	if m.retained {
		ids = nil
	}
	if m.journal.begun {
		ids = append(ids, m.next.ID)
	}
	if err := w.cache.DropJournals(ctx, job.Name, ids); err != nil {
		return err
	}
	var keys [][]byte
	for key, present := range m.untracked.Keys {
		if present || m.foreign() {
			keys = append(keys, []byte(key))
		}
	}
	return w.cache.ForgetUntracked(ctx, m.next.claim, keys)
}
