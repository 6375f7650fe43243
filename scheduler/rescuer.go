package scheduler

import (
	"context"
	"errors"
	"slices"
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

// Repairs does with tasks what Asynq's own API does not; *queue.Queues does.
type Repairs interface {
	// Release frees the name of a task that is in one of the states, or that Redis has lost a part of, and
	// reports whether the name is free.
	Release(ctx context.Context, queue, id string, states ...asynq.TaskState) (bool, error)
	// Orphans returns the tasks in hand that no worker has.
	Orphans(ctx context.Context, queue string) ([]string, error)
	// Archive takes such a task out of the list.
	Archive(ctx context.Context, queue, id, reason string) (bool, error)
}

// Asynq takes a task back from a killed worker after a minute or more: for that long a key would
// stay out of date. So a refresh that was taken and is not done in a few seconds is enqueued a
// second time, and so is a run whose worker no longer holds the job's lease. An orphan, which no worker
// has, is archived then: it would be done a third time, and one without a lease stays in hand for good.
const (
	rescueEvery = 2 * time.Second
	rescueAfter = 5 * time.Second // doubled for each rescue of a rescue: a slow database must not get ever more of them
	mostActive  = 1000            // tasks that are looked at; more are never in hand

	mostDoublings = 10 // of rescueAfter
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

// rescueStuck enqueues again the tasks that have been silent for too long, and archives the orphans among
// them. It adds the silent ones to now.
func (s *Scheduler) rescueStuck(ctx context.Context, queue string, seen, now map[string]time.Time) error {
	tasks, err := s.tasks.ListActiveTasks(queue, asynq.PageSize(mostActive))
	if errors.Is(err, asynq.ErrQueueNotFound) {
		return nil // nothing was ever enqueued
	}
	if err != nil {
		return err
	}
	orphans, err := s.orphans(ctx, queue)
	if err != nil {
		return err
	}
	for _, task := range tasks {
		orphan := slices.Contains(orphans, task.ID)
		orphans = slices.DeleteFunc(orphans, func(id string) bool { return id == task.ID })
		alive, err := s.isAlive(ctx, task, orphan)
		if err != nil {
			return err
		}
		if alive || !silent(task.ID, seen, now) {
			continue
		}
		if rescued := s.enqueueRescue(ctx, task); rescued && orphan {
			s.archive(ctx, queue, task.ID, "its worker is gone, and the task was handed out again as "+
				jobs.RescueID(task.ID))
		}
	}
	for _, id := range orphans { // these are not listed: nothing is left of them but the name
		if silent(id, seen, now) {
			s.archive(ctx, queue, id, "")
		}
	}
	return nil
}

// silent notes in now that a task gives no sign of life, and reports whether that has been so for too long.
func silent(id string, seen, now map[string]time.Time) bool {
	since, known := seen[id]
	if !known {
		since = time.Now()
	}
	now[id] = since
	return time.Since(since) >= rescueAfter<<min(jobs.Generation(id), mostDoublings)
}

func (s *Scheduler) orphans(ctx context.Context, queue string) ([]string, error) {
	if s.repairs == nil {
		return nil, nil
	}
	return s.repairs.Orphans(ctx, queue)
}

// isAlive reports whether the worker that has a run renews the job's lease. A refresh has none: it
// counts as silent from the start.
func (s *Scheduler) isAlive(ctx context.Context, task *asynq.TaskInfo, orphan bool) (bool, error) {
	if task.Type == jobs.TypeRefresh {
		return false, nil
	}
	run, err := jobs.ParseRun(asynq.NewTask(task.Type, task.Payload))
	if err != nil {
		return !orphan, nil // another version's: it alone knows whose lease to look at
	}
	holder, _, err := s.ledger.Holder(ctx, run.Job)
	return strings.HasPrefix(holder, task.ID+"/"), err
}

// enqueueRescue enqueues the rescue of a task, unless it has one, and reports whether it has one now.
func (s *Scheduler) enqueueRescue(ctx context.Context, task *asynq.TaskInfo) bool {
	made, err := s.enqueueNamed(ctx, task.Queue, jobs.RescueID(task.ID), jobs.NewRescue(task))
	switch {
	case errors.Is(err, asynq.ErrTaskIDConflict):
		return true
	case err != nil:
		s.log.Warn("a task that is not done could not be enqueued again", jobs.LogTask, task.ID, jobs.LogErr, err)
		return false
	}
	s.metrics.rescues.WithLabelValues(task.Queue).Inc()
	s.log.Warn("a task is not done in time, its worker may have been killed: enqueued again", jobs.LogTask, task.ID,
		"queue", task.Queue, "as", made.ID)
	return true
}

// archive takes an orphan out of the tasks in hand.
func (s *Scheduler) archive(ctx context.Context, queue, id, reason string) {
	done, err := s.repairs.Archive(ctx, queue, id, reason)
	if err != nil {
		s.log.Warn("an orphaned task stays in the list of tasks in hand; trying again", jobs.LogTask, id, jobs.LogErr,
			err)
	}
	if done {
		s.metrics.orphans.WithLabelValues(queue).Inc()
		s.log.Warn("an orphaned task was taken out of the list of tasks in hand", jobs.LogTask, id, "queue", queue,
			"reason", reason)
	}
}
