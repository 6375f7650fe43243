package scheduler

import (
	"context"
	"errors"
	"time"

	"github.com/hibiken/asynq"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/jobs/tracing"
	"github.com/stokerhq/stoker/store"
)

// How often the epoch is read, and how often it is checked whether all jobs have completed a run of a new one.
const (
	epochEvery = 250 * time.Millisecond
	rerunEvery = 2 * time.Second
)

// watchEpoch runs jobs again when an epoch has begun. What was cached before may
// show commits that Postgres has lost; or, where the change feed had a gap, miss
// commits of watched tables. It compares with what has been run, not with what it
// saw itself, so that an epoch that began while no scheduler lived is noticed too;
// and it looks until every job has completed a run of the epoch, because a run that
// was going when it began may be the one that misses something.
func (s *Scheduler) watchEpoch(ctx context.Context) {
	var seen, complete uint32
	lost := false // records may be gone
	var reran time.Time
	for store.Sleep(ctx, epochEvery) {
		epoch, history, err := s.epochs.Epoch(ctx)
		if err == nil && epoch != complete && epoch > 0 { // 0: the record is lost, and not made anew yet
			if epoch == seen && time.Since(reran) < rerunEvery {
				continue
			}
			if epoch != seen {
				seen, lost = epoch, seen > 0
			}
			reran = time.Now()
			all := false
			if all, err = s.rerun(ctx, epoch, history, lost); all {
				complete = epoch
			}
		}
		if err != nil && ctx.Err() == nil {
			s.log.Warn("jobs of an older epoch were not enqueued; trying again", jobs.LogErr, err)
		}
	}
}

// rerun enqueues the jobs whose last complete run is of another epoch, or, if they
// watch nothing, of another history, and reports whether there was none. A job of
// which nothing is known has never been run: the catch-up runs it, unless records may be lost. The order of the queue
// is the order in which they are run.
func (s *Scheduler) rerun(ctx context.Context, epoch, history uint32, lost bool) (all bool, errs error) {
	all = true
	var needs []need
	for _, job := range s.current() {
		last, ok, err := s.ledger.LastComplete(ctx, job.Name)
		if err != nil {
			all, errs = false, errors.Join(errs, err)
			continue
		}
		if ok {
			s.learnCost(job, last)
		}
		reason := outdated(job, last.Epoch, epoch, history)
		all = all && reason == ""
		if reason != "" && (ok || lost) {
			needs = append(needs, need{job: job, reason: reason, cost: s.costs[job.Name]})
		}
	}
	s.sort(ctx, epoch, needs)
	for _, n := range needs {
		switch err := s.enqueueEpoch(ctx, n.job, epoch, history); {
		case err == nil:
			s.log.Info("run enqueued: "+n.reason, jobs.LogJob, n.job.Name, "epoch", epoch)
		case !errors.Is(err, asynq.ErrTaskIDConflict):
			errs = errors.Join(errs, err)
		}
	}
	return all, errs
}

// enqueueEpoch enqueues the run of an epoch. One that has ended makes room if the job is outdated still: it
// was superseded, or began too early.
func (s *Scheduler) enqueueEpoch(ctx context.Context, job *jobs.Job, epoch, history uint32) (err error) {
	id, states := jobs.EpochID(job.Name, epoch), []asynq.TaskState{asynq.TaskStateArchived}
	ctx, span := s.tracer.Start(ctx, tracing.Begin{Name: "epoch", Job: job.Name, Kind: tracing.Producer})
	defer func() {
		if !errors.Is(err, asynq.ErrTaskIDConflict) { // else the span is that of who has enqueued it
			span.Task(jobs.QueueRun, id)
			span.EndWith(err)
		}
	}()
	_, err = s.enqueueNamed(ctx, jobs.QueueRun, id, jobs.NewEpochRun(job.Name, epoch), states...)
	if !errors.Is(err, asynq.ErrTaskIDConflict) {
		return err
	}
	last, _, lerr := s.ledger.LastComplete(ctx, job.Name)
	switch {
	case lerr != nil:
		return lerr
	case outdated(job, last.Epoch, epoch, history) == "":
		return err
	}
	states = append(states, asynq.TaskStateCompleted)
	_, err = s.enqueueNamed(ctx, jobs.QueueRun, id, jobs.NewEpochRun(job.Name, epoch), states...)
	return err
}

// outdated says why a run of an epoch is not enough; "" if it is.
func outdated(job *jobs.Job, ran, epoch, history uint32) string {
	switch {
	case ran == epoch:
		return ""
	case ran < history || ran > epoch: // or the epochs began again
		return "the history of postgres has changed, or redis has lost what was cached"
	case len(job.Watch) > 0:
		return "changes may have been missed"
	}
	return ""
}
