package worker

import (
	"context"
	"time"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/cache"
	"github.com/stokerhq/stoker/store/manifest"
	"github.com/stokerhq/stoker/worker/render"
)

// previousManifest is what the last complete run of the job has left, and the run after it, if that was stopped half
// way: then what is written is compared with its part of a manifest.
type previousManifest struct {
	cache.Manifest
	ctx context.Context
	r   *run

	there     bool           // there was such a run
	part      cache.Manifest // of the run that was stopped; the zero value: there is none
	compared  cache.Manifest // one of the two
	diff      *manifest.Diff // nil: there is nothing to compare with
	trust     bool           // its digests say what Redis holds
	extendTTL bool           // TTLs have to be extended
}

// load reads the manifest, for a run whose own is next.
func (p *previousManifest) load(claim *cache.Claim, next cache.Manifest) (err error) {
	r := p.r
	p.Manifest, p.there, err = r.w.calls.manifest(p.ctx, r.job.Name)
	if err != nil {
		return err
	}
	if p.part, _, err = r.w.calls.part(p.ctx, claim, r.job.Name); err != nil || r.rec.Removal {
		return err
	}
	trusted := func(m cache.Manifest) bool {
		return m.Job == next.Job && claim.Trust(m) && r.job.Rewrite != jobs.RewriteAlways && !r.task.Rewrite
	}
	p.compared = p.part
	if p.trust = p.part.ID != "" && trusted(p.part); !p.trust {
		if p.compared = p.Manifest; !p.there {
			return nil
		}
		p.trust = trusted(p.Manifest)
	}
	if p.diff, err = manifest.NewDiff(r.w.cache.Chunks(p.ctx, r.job.Name, p.compared)); err != nil {
		return p.ignore(err)
	}
	p.extendTTL = needsTTLRefresh(r.job, p.compared, next.Full)
	return nil
}

// resumes reports whether the run goes on from one that was stopped half way.
func (p *previousManifest) resumes() bool { return p.compared.ID != p.ID }

// whole reports whether the result has every key of the last complete run, as far as that is known without reading
// both again.
func (p *previousManifest) whole() (bool, error) {
	if p.diff == nil || p.resumes() {
		return false, nil
	}
	return p.diff.Complete()
}

// dropPart removes what the run before has left, of which nothing is true any more once this one has written.
func (p *previousManifest) dropPart() {
	ctx, cancel := store.Afterwards(p.ctx, afterwardsLimit)
	defer cancel()
	if err := p.r.w.cache.DropPart(ctx, p.r.job.Name, p.part); err != nil {
		p.r.w.log.Warn("a part of the manifest of a run that was stopped was not removed; it expires", jobs.LogJob,
			p.r.job.Name, jobs.LogErr, err)
	}
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
	p.diff, p.trust, p.there = nil, false, p.there && p.resumes()
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
