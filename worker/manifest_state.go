package worker

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"time"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/cache"
	"github.com/stokerhq/stoker/store/manifest"
	"github.com/stokerhq/stoker/worker/render"
)

// manifestState is what a run knows of the last complete run of its job, and what it
// leaves for the next one. Nothing depends on it but work that is saved: when a
// part of it is gone, or cannot be kept, the run sends what it must and goes on.
type manifestState struct {
	ctx         context.Context
	r           *run
	claim       *cache.Claim
	previous    cache.Manifest // of the last complete run
	hasPrevious bool           // there was one
	diff        *manifest.Diff // nil: there is nothing to compare with
	trust       bool           // its digests say what Redis holds
	extendTTL   bool           // TTLs have to be extended

	next  cache.Manifest
	chunk manifest.Chunk
	lost  error // why next cannot be kept

	retained  bool            // what is gone from the result is held
	untracked cache.Untracked // since the last complete run; of keys, whether they are in the result
	journaled bool            // there is a journal of this run
	// keys that the last manifest does not have as they are, and that are not written down yet
	unjournaled manifest.Chunk
}

// loadManifestState reads what is known of the last complete run.
func (r *run) loadManifestState(ctx context.Context, claim *cache.Claim, place string) (*manifestState, error) {
	m := &manifestState{ctx: ctx, r: r, claim: claim, next: claim.NewManifest()}
	m.next.Job, m.next.Key, m.next.Place = definitionHash(r.job), r.job.Key.String(), place
	var err error
	if m.untracked, err = r.w.calls.untracked(ctx, r.job.Name); err != nil {
		return m, err
	}
	if m.previous, m.hasPrevious, err = r.w.calls.manifest(ctx, r.job.Name); err != nil || !m.hasPrevious ||
		r.rec.Removal {
		return m, err
	}
	if m.diff, err = manifest.NewDiff(r.w.cache.Chunks(ctx, r.job.Name, m.previous)); err != nil {
		return m, m.ignorePrevious(err)
	}
	m.trust = m.previous.Job == m.next.Job && claim.Trust(m.previous) && r.job.Rewrite != jobs.RewriteAlways &&
		!r.task.Rewrite
	m.extendTTL = needsTTLRefresh(r.job, m.previous, m.next.Full)
	if m.trust && !m.extendTTL {
		m.next.Full = m.previous.Full
	}
	return m, nil
}

// definitionHash changes when the job's values, or their TTL, would.
func definitionHash(job *jobs.Job) string {
	b, err := json.Marshal([]any{job.Query, job.Key.String(), job.Value, job.TTL, job.Jitter, job.Type, job.Format,
		job.Compress, job.CompressAbove, job.MaxValueBytes})
	if err != nil {
		panic(err) // texts and numbers
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:8])
}

// needsTTLRefresh reports whether less than half of the TTL may be left of some key, or
// less than it takes to survive a tick that is missed: then the run after the next
// must come in time. now is Redis' own time, in ms.
func needsTTLRefresh(job *jobs.Job, last cache.Manifest, now int64) bool {
	shortest := time.Duration(float64(job.TTL) * (1 - job.Jitter))
	left := shortest - time.Duration(now-last.Full)*time.Millisecond
	needed := job.TTL / 2
	if job.Schedule != nil {
		period := job.Schedule.Period(time.UnixMilli(now))
		needed = max(needed, 2*(period+time.Duration(last.Took)*time.Millisecond))
	}
	return left < needed
}

// ignorePrevious goes on without the last manifest, because of err; what ends the run it
// returns.
func (m *manifestState) ignorePrevious(err error) error {
	if m.ctx.Err() != nil {
		return err
	}
	m.r.w.log.Warn("the manifest of the last run cannot be read: all values are sent", jobs.LogJob, m.r.job.Name,
		jobs.LogErr, err)
	m.close()
	m.diff, m.trust, m.hasPrevious = nil, false, false
	return nil
}

// close ends the reading of the last manifest.
func (m *manifestState) close() {
	if m.diff != nil {
		m.diff.Stop()
	}
}

// known compares a value with the last run, and remembers it for the next one.
func (m *manifestState) known(key, value []byte) (render.CacheState, error) {
	digest := manifest.Digest(value)
	m.note(key, digest)
	if _, isUntracked := m.untracked.Keys[string(key)]; isUntracked {
		m.untracked.Keys[string(key)] = true
	}
	m.next.Keys++
	m.next.Bytes += int64(len(key) + len(value))
	if m.diff == nil {
		m.unjournaled.Add(key, digest)
		return render.Absent, nil
	}
	same, err := m.diff.Same(key, digest)
	if !same {
		m.unjournaled.Add(key, digest)
	}
	switch {
	case err != nil:
		return render.Absent, m.ignorePrevious(err)
	case !same || !m.trust:
		return render.Absent, nil
	case m.extendTTL:
		return render.Expiring, nil
	}
	return render.Present, nil
}

// note adds a key to the next manifest.
func (m *manifestState) note(key []byte, digest uint64) {
	if m.lost != nil {
		return
	}
	if m.chunk.Add(key, digest); m.chunk.Len() == manifest.ChunkKeys {
		m.flush()
	}
}

// flush keeps the chunk at hand.
func (m *manifestState) flush() {
	if m.lost == nil && m.chunk.Len() > 0 {
		m.lost = m.r.w.cache.KeepChunk(m.ctx, m.r.job.Name, &m.next, m.chunk.Bytes(), m.r.job.TTL)
		m.chunk.Reset()
	}
}

// abandon removes what was kept of the next manifest: the run has failed.
func (m *manifestState) abandon() {
	ctx, cancel := store.Afterwards(m.ctx, afterwardsLimit)
	defer cancel()
	if err := m.r.w.calls.dropChunks(ctx, m.r.job.Name, m.next); err != nil {
		m.r.w.log.Warn("the manifest of a failed run was not removed; it expires", jobs.LogJob, m.r.job.Name,
			jobs.LogErr, err)
	}
}

// keep puts the next manifest in the place of the last one. Without it the next
// run sends everything, and nothing is known of keys that depart.
func (m *manifestState) keep(ctx context.Context) error {
	m.flush()
	if m.lost == nil {
		rec := &m.r.rec
		m.next.Rows, m.next.NullKeys, m.next.BadKeys, m.next.Oversized, m.next.Warning = m.r.rows.Load(), rec.NullKeys,
			rec.BadKeys, rec.Oversized, rec.Warning
		m.next.Took = time.Since(rec.Start).Milliseconds()
		m.lost = m.r.w.cache.KeepManifest(ctx, m.claim, m.r.job.Name, m.next, m.previous, m.r.job.TTL)
	}
	switch {
	case m.lost == nil || ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(m.lost, cache.ErrSuperseded) || cache.Again(m.lost):
		m.abandon()
		return m.lost
	}
	m.r.w.log.Warn("the manifest of a run was not kept: the next run sends all values", jobs.LogJob, m.r.job.Name,
		jobs.LogErr, m.lost)
	m.abandon()
	return nil
}
