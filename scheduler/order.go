package scheduler

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/stokerhq/stoker/jobs"
)

// Warmth samples how much of a job's keyset is in the cache; store/ledger has one.
type Warmth interface {
	Warmth(ctx context.Context, job string) (present, sampled int, err error)
}

// need is what decides when a job is run, where many are to be run again.
type need struct {
	job  *jobs.Job
	warm int           // tenths of the sampled keys that are there
	cost time.Duration // of the last complete run; 0: not known
}

// inOrder returns the jobs in the order in which a lost cache is filled: by priority, those with the fewest keys left
// first, and of these the cheap before the dear, so that most of the cache is back soonest. What cannot be read of a
// job counts as nothing: it is cold, and cheap as far as is known.
func (s *Scheduler) inOrder(ctx context.Context) []*jobs.Job {
	all := s.current()
	needs := make([]need, len(all))
	for i, job := range all {
		needs[i] = need{job, s.tenths(ctx, job), s.cost(ctx, job)}
	}
	slices.SortStableFunc(needs, func(a, b need) int {
		return cmp.Or(cmp.Compare(b.job.Priority, a.job.Priority), cmp.Compare(a.warm, b.warm),
			cmp.Compare(a.cost, b.cost))
	})
	list := make([]*jobs.Job, len(needs))
	for i, n := range needs {
		list[i] = n.job
	}
	return list
}

func (s *Scheduler) tenths(ctx context.Context, job *jobs.Job) int {
	if s.warmth == nil {
		return 0
	}
	present, sampled, err := s.warmth.Warmth(ctx, job.Name)
	if err != nil || sampled == 0 {
		return 0
	}
	return 10 * present / sampled
}

// cost is how long the last complete run that read the database took. It is remembered: the records may be lost with
// the cache.
func (s *Scheduler) cost(ctx context.Context, job *jobs.Job) time.Duration {
	last, ok, err := s.ledger.LastComplete(ctx, job.Name)
	if err == nil && ok && !last.Unchanged {
		s.costs[job.Name] = last.End.Sub(last.Start)
	}
	return s.costs[job.Name]
}
