package scheduler

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/hibiken/asynq"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
)

// Tasks lists the tasks that workers have taken; *asynq.Inspector does.
type Tasks interface {
	ListActiveTasks(queue string, opts ...asynq.ListOption) ([]*asynq.TaskInfo, error)
}

// Asynq takes a task back from a killed worker after a minute or more: for that long a key would
// stay out of date. So a refresh that was taken and is not done in a few seconds is enqueued a
// second time, and so is a run whose worker no longer holds the job's lease.
const (
	rescueEvery = time.Second
	rescueAfter = 5 * time.Second // doubled for each rescue of a rescue: a slow database must not get ever more of them
	mostActive  = 1000            // tasks that are looked at; more are never in hand
)

// rescue watches the tasks in hand until ctx ends.
func (s *Scheduler) rescue(ctx context.Context) {
	seen := make(map[string]time.Time) // :: ID of a task -> since when its worker has given no sign of life
	for store.Sleep(ctx, rescueEvery) {
		now := make(map[string]time.Time)
		for _, queue := range []string{jobs.QueueRefresh, jobs.QueueRun} {
			if err := s.rescueStuck(ctx, queue, seen, now); err != nil && ctx.Err() == nil {
				// whatever else uses Redis warns
				s.log.Debug("the tasks in hand were not looked at", "queue", queue, jobs.LogErr, err)
			}
		}
		seen = now
	}
}

// rescueStuck enqueues again the tasks that have been silent for too long. It adds the silent ones
// to now.
func (s *Scheduler) rescueStuck(ctx context.Context, queue string, seen, now map[string]time.Time) error {
	tasks, err := s.tasks.ListActiveTasks(queue, asynq.PageSize(mostActive))
	if errors.Is(err, asynq.ErrQueueNotFound) {
		return nil // nothing was ever enqueued
	}
	if err != nil {
		return err
	}
	for _, task := range tasks {
		alive, err := s.isAlive(ctx, task)
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
		if time.Since(since) >= rescueAfter<<jobs.Generation(task.ID) {
			s.enqueueRescue(ctx, task)
		}
	}
	return nil
}

// isAlive reports whether the worker that has a run renews the job's lease. A refresh has none: it
// counts as silent from the start.
func (s *Scheduler) isAlive(ctx context.Context, task *asynq.TaskInfo) (bool, error) {
	if task.Type != jobs.TypeRun {
		return false, nil
	}
	run, err := jobs.ParseRun(asynq.NewTask(task.Type, task.Payload))
	if err != nil {
		return true, nil // no worker would run it
	}
	holder, _, err := s.ledger.Holder(ctx, run.Job)
	return strings.HasPrefix(holder, task.ID+"/"), err
}

// enqueueRescue enqueues the rescue of a task, unless it has one.
func (s *Scheduler) enqueueRescue(ctx context.Context, task *asynq.TaskInfo) {
	_, err := s.queue.EnqueueContext(ctx, jobs.NewRescue(task))
	switch {
	case errors.Is(err, asynq.ErrTaskIDConflict):
	case err != nil:
		s.log.Warn("a task that is not done could not be enqueued again", jobs.LogTask, task.ID, jobs.LogErr, err)
	default:
		s.metrics.rescues.WithLabelValues(task.Queue).Inc()
		s.log.Warn("a task is not done in time, its worker may have been killed: enqueued again", jobs.LogTask, task.ID,
			"queue", task.Queue)
	}
}
