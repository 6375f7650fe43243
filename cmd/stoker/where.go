package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hibiken/asynq"

	"github.com/stokerhq/stoker/cmd/stoker/internal/show"
	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
)

// parseWhere reads the conditions of --where; nil: there are none.
func parseWhere(conditions []string, args int, all bool) (jobs.Where, error) {
	switch {
	case len(conditions) == 0:
		return nil, nil
	case all:
		return nil, wrong("give --where or --all, not both")
	case args > 1:
		return nil, wrong("give keys or --where, not both")
	}
	where, err := jobs.ParseWhere(conditions)
	if err != nil {
		return nil, wrong("--where: %w", err)
	}
	return where, nil
}

// invalidateWhere refreshes or removes the keys that a condition names, of one job or of all that have its columns.
// What does not fit is refused before any key is fenced.
func (r *runner) invalidateWhere(ctx context.Context, names []string, where jobs.Where, remove bool) error {
	i := r.invalidator()
	list := r.spec.Jobs
	var err error
	if len(names) > 0 {
		if list, err = named(r.spec, names); err == nil {
			err = i.CheckWhere(ctx, list[0], where)
		}
	} else {
		list, err = i.JobsWith(ctx, list, where)
	}
	if err == nil && !r.local {
		err = r.servers.Suitable(ctx, r.log)
	}
	if err != nil {
		return whereMistake(err)
	}
	do := r.enqueueWhere
	if r.local {
		do = r.whereHere
	}
	if len(list) == 1 {
		return do(ctx, i, list[0], where, remove)
	}
	return r.each(list, func(job *jobs.Job) error { return do(ctx, i, job, where, remove) })
}

// whereMistake makes what a condition cannot be asked of a mistake in the command.
func whereMistake(err error) error {
	_, lacks := errors.AsType[*jobs.NoColumnError](err)
	_, none := errors.AsType[*jobs.NoJobError](err)
	_, shape := errors.AsType[*store.ShapeError](err)
	if lacks || none || shape {
		return usageError{err}
	}
	return commandMistake(err)
}

// enqueueWhere fences the keys of one job, and has a worker load or remove them.
func (r *runner) enqueueWhere(ctx context.Context, i jobs.Invalidator, job *jobs.Job, where jobs.Where,
	remove bool) error {
	progress := show.NewProgress(r.stderr, job.Name)
	at := store.Progress{Job: job.Name, Start: time.Now()}
	done, err := i.Where(ctx, job, where, remove, func(keys int) {
		at.Keys = int64(keys)
		_ = progress.Update(at)
	})
	if err = errors.Join(err, progress.Done()); err != nil {
		return fmt.Errorf("%d keys were fenced and enqueued before it ended; asking again is harmless: %w", done.Keys,
			store.WithRemedy(err))
	}
	if r.wait {
		return r.awaitRefreshes(ctx, job, done.Tasks)
	}
	r.warnPaused(ctx, done.Tasks)
	return r.fencedWhere(job, done)
}

// fencedWhere prints how many keys were found, and the tasks that do the rest.
func (r *runner) fencedWhere(job *jobs.Job, done jobs.Invalidated) error {
	out := struct {
		Job    string   `json:"job"`
		Keys   int      `json:"keys"`
		Fenced bool     `json:"fenced"`
		Tasks  []string `json:"task_ids"`
		Queue  string   `json:"queue"`
	}{job.Name, done.Keys, done.Fenced, []string{}, jobs.QueueRefresh}
	for _, info := range done.Tasks {
		out.Tasks, out.Queue = append(out.Tasks, info.ID), info.Queue
	}
	if r.json {
		return r.printJSON(out)
	}
	_, err := fmt.Fprintf(r.stdout, "%s: %d keys fenced, enqueued as %d tasks\n", job.Name, done.Keys, len(done.Tasks))
	return err
}

// whereHere does it in this process: the keys are kept until the query is read, which may hold the only connection.
func (r *runner) whereHere(ctx context.Context, i jobs.Invalidator, job *jobs.Job, where jobs.Where,
	remove bool) error {
	var keys []jobs.Key
	i.Enqueue = func(_ context.Context, task *asynq.Task) (*asynq.TaskInfo, error) {
		inv, err := jobs.ParseInvalidation(task)
		keys = append(keys, inv.Keys...)
		return &asynq.TaskInfo{}, err
	}
	if done, err := i.Where(ctx, job, where, remove, nil); err != nil {
		return fmt.Errorf("%d keys were fenced before it ended, and are not loaded: ask again: %w", done.Keys, err)
	}
	return r.refreshHere(ctx, jobs.Invalidation{Job: job.Name, Remove: remove, Fenced: !remove}, keys)
}
