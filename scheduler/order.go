package scheduler

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
)

// Warmth samples how much of a job's keyset is in the cache; store/ledger has one.
type Warmth interface {
	Warmth(ctx context.Context, job string) (present, sampled int, err error)
}

// need is a job that is to be run again, and what decides when, where there are many.
type need struct {
	job    *jobs.Job
	reason string
	warm   int           // tenths of the sampled keys that are there
	cost   time.Duration // of the last complete run; 0: not known
}

// sort puts jobs in the order in which a lost cache is filled: by priority, those with the fewest keys left
// first, and of these the cheap before the dear, so that most of the cache is back soonest. What cannot be read of a
// job counts as nothing: it is cold, and cheap as far as is known.
func (s *Scheduler) sort(ctx context.Context, epoch uint32, needs []need) {
	if len(needs) < 2 {
		return // a sample would decide nothing
	}
	for i := range needs {
		needs[i].warm = s.tenths(ctx, epoch, needs[i].job)
	}
	slices.SortStableFunc(needs, func(a, b need) int {
		return cmp.Or(cmp.Compare(b.job.Priority, a.job.Priority), cmp.Compare(a.warm, b.warm),
			cmp.Compare(a.cost, b.cost))
	})
}

// tenths samples a job once an epoch: it is asked for again and again until the job has been run, and the cache has
// enough to do then.
func (s *Scheduler) tenths(ctx context.Context, epoch uint32, job *jobs.Job) int {
	if s.warmth == nil {
		return 0
	}
	if s.sampled.epoch != epoch {
		s.sampled = sampled{epoch, make(map[string]int)}
	}
	warm, known := s.sampled.tenths[job.Name]
	if known {
		return warm
	}
	if present, of, err := s.warmth.Warmth(ctx, job.Name); err == nil && of > 0 {
		warm = 10 * present / of
	}
	s.sampled.tenths[job.Name] = warm
	return warm
}

// sampled is how warm jobs were when an epoch was noticed.
type sampled struct {
	epoch  uint32
	tenths map[string]int // :: job -> tenths of its sampled keys
}

// learnCost remembers how long the last complete run that read the database took: the records may be lost with the
// cache.
func (s *Scheduler) learnCost(job *jobs.Job, last store.Record) {
	if !last.Unchanged {
		s.costs[job.Name] = last.End.Sub(last.Start)
	}
}
