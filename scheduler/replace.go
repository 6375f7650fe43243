package scheduler

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/stokerhq/stoker/jobs"
)

// Replace has the scheduler follow other jobs from now on. A job that stays, by its pointer, ticks on as if nothing
// had happened; one that is new is followed as at a start; one that is gone ticks no more. Where another definition
// has taken a job's place, the job is run at once: what is cached is of the old one. Every replica asks for that run
// when it no longer writes by the old definition itself, so that the last of them is right whatever the others wrote
// meanwhile; a run that covers two of them is made once.
func (s *Scheduler) Replace(list []*jobs.Job) {
	s.metrics.begin(list)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, job := range list {
		i := slices.IndexFunc(s.jobs, func(old *jobs.Job) bool { return old.Name == job.Name })
		if i >= 0 && s.jobs[i] != job && s.jobs[i].Definition() != job.Definition() {
			s.since[job] = time.Now()
		}
	}
	s.jobs = list
	select {
	case s.replaced <- struct{}{}:
	default:
	}
}

// current returns the jobs that are followed.
func (s *Scheduler) current() []*jobs.Job {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.jobs
}

// takeSince returns since when the job has its definition; zero: as far as this process knows, always.
func (s *Scheduler) takeSince(job *jobs.Job) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	since := s.since[job]
	delete(s.since, job)
	return since
}

// followAll follows each of the current jobs until ctx ends.
func (s *Scheduler) followAll(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	stops := make(map[*jobs.Job]context.CancelFunc)
	for {
		now := s.current()
		for job, stop := range stops {
			if !slices.Contains(now, job) {
				stop()
				delete(stops, job)
			}
		}
		for _, job := range now {
			if stops[job] == nil {
				following, stop := context.WithCancel(ctx)
				stops[job] = stop
				since := s.takeSince(job)
				wg.Go(func() { s.follow(following, job, since) })
			}
		}
		select {
		case <-ctx.Done():
			for _, stop := range stops {
				stop()
			}
			return
		case <-s.replaced:
		}
	}
}

// renew runs a job that has its definition since then. The run begins in a later second than that: ticks, by which
// runs are named and compared, have no fractions.
func (s *Scheduler) renew(ctx context.Context, job *jobs.Job, since time.Time) {
	due := since.Truncate(time.Second).Add(time.Second)
	if sleepUntil(ctx, due) {
		s.makeUp(ctx, job, due, time.Time{})
	}
}
