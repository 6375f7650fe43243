package verify

import (
	"context"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store/cache"
	"github.com/stokerhq/stoker/store/manifest"
)

// Cause says why a key is not as it should be, as far as that can be known.
type Cause string

// The causes.
const (
	CauseRefresh    Cause = "refresh"    // it was invalidated, and its refresh has not come: outstanding or lost
	CauseUnreported Cause = "unreported" // a change that no feed and no invalidation has reported
	CauseSchedule   Cause = "schedule"   // a change since the last run of a job that has no change feed
	// somebody else wrote it: the last run saw the value that is right, and Redis has another; or Redis has what Stoker
	// does not write
	CauseOverwrite Cause = "overwrite"
	CauseGone      Cause = "gone"  // it was there, and has expired, was evicted or removed
	CauseStray     Cause = "stray" // no complete run has left it: a failed run, another spec or somebody else did
)

// Text says a cause to a person.
func (c Cause) Text() string {
	return map[Cause]string{
		CauseRefresh:    "invalidated, and its refresh is outstanding or lost",
		CauseUnreported: "a change that was not reported",
		CauseSchedule:   "changed since the last run",
		CauseOverwrite:  "overwritten by somebody else",
		CauseGone:       "expired, evicted or removed",
		CauseStray:      "not left by the last complete run",
	}[c]
}

// remembered is what the last complete run knew of a key.
type remembered struct {
	digest uint64 // 0 with there: it is held
	there  bool
}

// causeOf finds a wrong key's cause. m is of the last complete run.
func (d *recheckQueue) causeOf(s *candidate, m cache.Manifest, past remembered) Cause {
	now := s.last.after
	fenced := now.mark > m.Stamp.String() // since that run, or refreshed
	change := CauseSchedule
	if d.hasFeed {
		change = CauseUnreported
	}
	switch {
	case now.foreign && (s.kind == Stale || s.kind == Orphan && past.there):
		return CauseOverwrite
	case fenced && (!now.face.there() || now.ttl > 0 && now.ttl <= d.job.StaleGrace):
		return CauseRefresh
	case s.kind == Missing && past.there:
		return CauseGone
	case s.kind == Orphan && !past.there && !fenced:
		return CauseStray
	case s.kind == Stale && past.there && past.digest == s.last.want.digest && !fenced:
		return CauseOverwrite
	}
	return change
}

// findCauses gives every key that is wrong its cause, separates those that are
// held, and drops those that are another job's.
func (v *comparison) findCauses(ctx context.Context) error {
	if len(v.wrong) == 0 {
		return nil
	}
	if err := v.dropOtherJobsKeys(ctx); err != nil {
		return err
	}
	m, past, err := v.past(ctx)
	if err != nil {
		return err
	}
	for _, s := range v.wrong {
		p := past[s.key]
		if s.kind == Orphan && p.there && p.digest == manifest.Held {
			s.kind = held
			continue
		}
		s.cause = v.recheck.causeOf(s, m, p)
	}
	return nil
}

// past looks the wrong keys up in what the last complete run has left.
func (v *comparison) past(ctx context.Context) (cache.Manifest, map[string]remembered, error) {
	past := make(map[string]remembered)
	m, ok, err := v.env.cache.Manifest(ctx, v.job.Name)
	if err != nil || !ok || m.Key != v.job.Key.String() {
		return m, past, err
	}
	names := make(map[string]struct{}, len(v.wrong))
	for _, s := range v.wrong {
		names[s.key] = struct{}{}
	}
	for e, err := range manifest.Read(v.env.cache.Chunks(ctx, v.job.Name, m)) {
		if cache.NoManifest(err) {
			break // a new run has taken its place: less is known
		}
		if err != nil {
			return m, past, err
		}
		if _, is := names[string(e.Key)]; is {
			past[string(e.Key)] = remembered{e.Digest, true}
		}
	}
	return m, past, nil
}

// dropOtherJobsKeys drops orphans that another job has a row for, because its template
// makes the same keys. Where that cannot be told they are unclear.
func (v *comparison) dropOtherJobsKeys(ctx context.Context) error {
	for _, job := range v.env.spec.Jobs {
		if job == v.job {
			continue
		}
		var theirs []*candidate
		for _, s := range v.wrong {
			if s.kind != Orphan {
				continue
			}
			if _, fit := job.Key.Parse(s.key); fit != jobs.NoFit {
				theirs = append(theirs, &candidate{key: s.key})
			}
		}
		if err := v.dropOf(ctx, job, theirs); err != nil {
			return err
		}
	}
	return nil
}

// dropOf drops the orphans that are keys of job.
func (v *comparison) dropOf(ctx context.Context, job *jobs.Job, theirs []*candidate) error {
	drop := make(map[string]bool)
	for len(theirs) > 0 {
		n := min(len(theirs), jobs.MaxKeys)
		l, err := v.env.load(ctx, job, theirs[:n])
		if err != nil {
			return err
		}
		for _, s := range theirs[:n] {
			_, has := l.want[s.key]
			_, fit := job.Key.Parse(s.key)
			if fit == jobs.ManyFits {
				v.out.Unclear++
			}
			drop[s.key] = has || fit == jobs.ManyFits
		}
		theirs = theirs[n:]
	}
	kept := v.wrong[:0]
	for _, s := range v.wrong {
		if s.kind != Orphan || !drop[s.key] {
			kept = append(kept, s)
		}
	}
	v.wrong = kept
	return nil
}
