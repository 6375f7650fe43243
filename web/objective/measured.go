package objective

import (
	"context"
	"time"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
)

// measured is the account of a job in the replica that measures.
type measured struct {
	job     *jobs.Job
	account account
	kept    string    // the account as it is in Redis
	passed  []mark    // not written yet
	old     []string  // fields that are not removed yet
	written time.Time // when the account was
	changed bool      // good has become bad since, or bad good
	warmth  warmth
}

// of returns the account of a job, and reads it if this replica has not. It returns nil if it cannot be read.
func (m *Meter) of(ctx context.Context, job *jobs.Job, now time.Time) *measured {
	if j := m.jobs[job.Name]; j != nil && j.account.Age == job.Objective.Age.Milliseconds() {
		j.job = job
		return j
	}
	kept, _, err := m.cfg.Accounts.Budget(ctx, job.Name)
	m.warn(ctx, "the account of "+job.Name, err)
	if err != nil {
		return nil
	}
	j := &measured{job: job, kept: kept}
	var same bool
	j.account, same, err = parse(kept, job.Objective)
	m.warn(ctx, "what is kept of "+job.Name, err)
	if !same {
		j.account = begin(job.Objective, now)
	}
	m.sample(ctx, j, now)
	m.jobs[job.Name] = j
	return j
}

// sample looks at the sample of a job's keys. A failure leaves what was known, for as long as that counts.
func (m *Meter) sample(ctx context.Context, j *measured, now time.Time) {
	present, sampled, err := m.cfg.Sampler.Warmth(ctx, j.job.Name)
	m.warn(ctx, "the sample of "+j.job.Name, err)
	switch {
	case err == nil:
		j.warmth = warmth{at: now, present: present, sampled: sampled}
	case now.Sub(j.warmth.at) >= warmCounts:
		j.warmth = warmth{}
	}
}

// count counts the time up to now, and notes what is known from now on.
func (j *measured) count(now time.Time, o observation) {
	ms := now.UnixMilli()
	passed, old := j.account.advance(ms, j.job.Objective.Window)
	j.passed, j.old = append(j.passed, passed...), append(j.old, old...)
	wasBad := j.account.Reason != ""
	j.account.observe(ms, o)
	j.changed = j.changed || (j.account.Reason != "") != wasBad
}

// mostPassed bounds the marks that wait while Redis takes no writes: more than an account has.
const mostPassed = 1000

// keep writes an account. If another replica has changed it, that one's stands, and is gone on with.
func (m *Meter) keep(ctx context.Context, j *measured, now time.Time) {
	text := j.account.String()
	change := store.BudgetChange{Before: j.kept, After: text, Set: make(map[string]string), Drop: j.old,
		Keep: 2 * j.job.Objective.Window}
	for _, p := range j.passed {
		change.Set[p.field] = p.String()
	}
	kept, err := m.cfg.Accounts.KeepBudget(ctx, j.job.Name, change)
	m.warn(ctx, "writing the account of "+j.job.Name, err)
	switch {
	case err != nil: // if it was written nevertheless, the next try finds that
		j.passed = j.passed[max(0, len(j.passed)-mostPassed):]
		j.old = j.old[max(0, len(j.old)-mostPassed):]
	case !kept:
		delete(m.jobs, j.job.Name)
	default:
		j.kept, j.passed, j.old, j.written, j.changed = text, nil, nil, now, false
	}
}
