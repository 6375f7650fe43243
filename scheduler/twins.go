package scheduler

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/hibiken/asynq"

	"github.com/stokerhq/stoker/jobs"
)

// Tasks lists the tasks that workers have taken; *asynq.Inspector does.
type Tasks interface {
	ListActiveTasks(queue string, opts ...asynq.ListOption) ([]*asynq.TaskInfo, error)
}

// Asynq takes a task back from a worker that was killed after a minute or more: for
// that long a key would stay out of date. So a refresh that was taken and is not
// done in a few seconds is handed out a second time, and so is a run whose worker
// does not hold the job's lease any more.
const (
	twinEvery  = time.Second
	twinAfter  = 5 * time.Second // doubled for each twin of a twin: a slow database must not get ever more of them
	twinsAtOne = 1000            // tasks looked at; more than that are never in hand
)

// twins watches over the tasks in hand until ctx ends.
func (s *Scheduler) twins(ctx context.Context) {
	seen := make(map[string]time.Time) // :: ID of a task -> since when nothing is heard of it
	for sleep(ctx, twinEvery) {
		now := make(map[string]time.Time)
		for _, queue := range []string{jobs.QueueRefresh, jobs.QueueRun} {
			if err := s.watchOver(ctx, queue, seen, now); err != nil && ctx.Err() == nil {
				s.log.Debug("the tasks in hand were not looked at", "queue", queue, jobs.LogErr, err) // what else uses Redis says so louder
			}
		}
		seen = now
	}
}

// watchOver hands out again what has been silent for too long. Into now it puts what
// it saw.
func (s *Scheduler) watchOver(ctx context.Context, queue string, seen, now map[string]time.Time) error {
	tasks, err := s.tasks.ListActiveTasks(queue, asynq.PageSize(twinsAtOne))
	if errors.Is(err, asynq.ErrQueueNotFound) {
		return nil // nothing was ever enqueued
	}
	if err != nil {
		return err
	}
	for _, task := range tasks {
		alive, err := s.heard(ctx, task)
		if err != nil {
			return err
		}
		if alive {
			continue
		}
		since, known := seen[task.ID]
		if !known {
			since = time.Now()
		}
		now[task.ID] = since
		if time.Since(since) >= twinAfter<<jobs.Generation(task.ID) {
			s.twin(ctx, task)
		}
	}
	return nil
}

// heard reports whether the worker that has a run is alive: it renews the job's
// lease. Of a refresh nobody knows.
func (s *Scheduler) heard(ctx context.Context, task *asynq.TaskInfo) (bool, error) {
	if task.Type != jobs.TypeRun {
		return false, nil
	}
	run, err := jobs.ParseRun(asynq.NewTask(task.Type, task.Payload))
	if err != nil {
		return true, nil // no worker does it
	}
	holder, _, err := s.ledger.Holder(ctx, run.Job)
	return strings.HasPrefix(holder, task.ID+"/"), err
}

// twin enqueues the twin of a task, unless it has one.
func (s *Scheduler) twin(ctx context.Context, task *asynq.TaskInfo) {
	_, err := s.queue.EnqueueContext(ctx, jobs.NewRescue(task))
	switch {
	case errors.Is(err, asynq.ErrTaskIDConflict):
	case err != nil:
		s.log.Warn("a task that is not done could not be handed out again", jobs.LogTask, task.ID, jobs.LogErr, err)
	default:
		s.metrics.twins.WithLabelValues(task.Queue).Inc()
		s.log.Warn("a task is not done in time, its worker may have been killed: handed out again", jobs.LogTask, task.ID, "queue", task.Queue)
	}
}
