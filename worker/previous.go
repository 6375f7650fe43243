package worker

import (
	"context"
	"time"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store/cache"
	"github.com/stokerhq/stoker/store/manifest"
	"github.com/stokerhq/stoker/worker/render"
)

// previousManifest is what the last complete run of the job has left.
type previousManifest struct {
	cache.Manifest
	ctx context.Context
	r   *run

	there     bool           // there was such a run
	diff      *manifest.Diff // nil: there is nothing to compare with
	trust     bool           // its digests say what Redis holds
	extendTTL bool           // TTLs have to be extended
}

// load reads the manifest, for a run whose own is next.
func (p *previousManifest) load(claim *cache.Claim, next cache.Manifest) (err error) {
	r := p.r
	p.Manifest, p.there, err = r.w.calls.manifest(p.ctx, r.job.Name)
	if err != nil || !p.there || r.rec.Removal {
		return err
	}
	if p.diff, err = manifest.NewDiff(r.w.cache.Chunks(p.ctx, r.job.Name, p.Manifest)); err != nil {
		return p.ignore(err)
	}
	p.trust = p.Job == next.Job && claim.Trust(p.Manifest) && r.job.Rewrite != jobs.RewriteAlways && !r.task.Rewrite
	p.extendTTL = needsTTLRefresh(r.job, p.Manifest, next.Full)
	return nil
}

// same reports whether the last run wrote this value to the key.
func (p *previousManifest) same(key []byte, digest uint64) (bool, error) {
	if p.diff == nil {
		return false, nil
	}
	same, err := p.diff.Same(key, digest)
	if err != nil {
		return false, p.ignore(err)
	}
	return same, nil
}

// state is what Redis has of a key whose value is the last run's.
func (p *previousManifest) state() render.CacheState {
	switch {
	case !p.trust:
		return render.Absent
	case p.extendTTL:
		return render.Expiring
	}
	return render.Present
}

// ignore continues without the manifest, because of err. It returns the error that ends the run.
func (p *previousManifest) ignore(err error) error {
	if p.ctx.Err() != nil {
		return err
	}
	p.r.w.log.Warn("the manifest of the last run cannot be read: all values are sent", jobs.LogJob, p.r.job.Name,
		jobs.LogErr, err)
	p.close()
	p.diff, p.trust, p.there = nil, false, false
	return nil
}

// close ends the reading of the manifest.
func (p *previousManifest) close() {
	if p.diff != nil {
		p.diff.Stop()
	}
}

// needsTTLRefresh is the TTL rule. It reports whether less than half of the TTL may be left of some key, or
// less than it takes to survive a tick that is missed: then the run after the next must come in time. now is
// Redis' own time, in ms.
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

// stillHeld reports whether keys that a run has held back may still be there. now is Redis' own time, in ms.
func stillHeld(last cache.Manifest, now int64, job *jobs.Job) bool {
	return last.HeldAt > 0 && time.Duration(now-last.HeldAt)*time.Millisecond < job.TTL
}
