package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/hibiken/asynq"
	"github.com/spf13/cobra"

	"github.com/stokerhq/stoker/cmd/stoker/internal/await"
	"github.com/stokerhq/stoker/cmd/stoker/internal/connect"
	"github.com/stokerhq/stoker/cmd/stoker/internal/keyarg"
	"github.com/stokerhq/stoker/cmd/stoker/internal/show"
	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/jobs/tracing"
	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/worker"
)

func (a *app) invalidateCmd() *cobra.Command {
	var wait, local, all, remove bool
	var where []string
	cmd := &cobra.Command{
		Use:   "invalidate JOB [column=value[,column=value...] ...] | [JOB] --where column=value",
		Short: "Say that keys are out of date: they are loaded again, or removed",
		Long: `Says that keys of a job are out of date. Exactly these are loaded again through
the job's own query; a key without a row is removed. Each argument is one key:
a value for every column of the key template. A job whose key has no columns
takes no arguments. Put a value that holds commas in double quotes.

With --where the keys are those of the rows that have a value in a column of the
job's query, key column or not. Several columns must all hold; a column that is
given again adds a value. Without a JOB it is asked of every job that has the
columns. Of rows that are gone, keys are found where a column of the key is named.`,
		Example: `  stoker invalidate product id=42
  stoker invalidate product id=42 id=43 --wait
  stoker invalidate stock 'site=x,sku="A,1"'
  stoker invalidate product id=42 --remove       drop it without loading
  stoker invalidate product --where category=books
  stoker invalidate --where supplier=7           of all jobs with that column
  stoker invalidate product --all                the same as: stoker warm product
  stoker invalidate product --all --remove       drop every key of the job`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(where) > 0 {
				return nil
			}
			return cobra.MinimumNArgs(1)(cmd, args)
		},
		ValidArgsFunction: a.completeJobs,
		RunE: func(cmd *cobra.Command, args []string) error {
			condition, err := parseWhere(where, len(args), all)
			if err != nil {
				return err
			}
			return a.withTraces(cmd, wait, local, func(ctx context.Context, r *runner) error {
				if condition != nil {
					return r.invalidateWhere(ctx, args, condition, remove)
				}
				list, err := named(r.spec, args[:1])
				if err != nil {
					return err
				}
				job := list[0]
				if all {
					if len(args) > 1 {
						return wrong("give keys or --all, not both")
					}
					return r.runs(ctx, list, remove)
				}
				keys, err := keyarg.Parse(job, args[1:])
				if err != nil {
					return usageError{err}
				}
				return r.invalidate(ctx, job, keys, remove)
			})
		},
	}
	cmd.Flags().BoolVar(&wait, "wait", false, "wait until the keys are fresh; the exit status tells")
	cmd.Flags().BoolVar(&local, "local", false, "do it in this process instead of enqueueing it")
	cmd.Flags().BoolVar(&all, "all", false, "every key of the job")
	cmd.Flags().StringArrayVar(&where, "where", nil, "the keys of rows with this `column=value`; repeat it for more")
	cmd.Flags().BoolVar(&remove, "remove", false, "drop the keys without loading them")
	return cmd
}

// invalidate refreshes or removes the named keys. They are fenced first, so that
// nothing read before is written to them, whenever the task is done. Values that
// do not fit their column are refused before anything is done.
func (r *runner) invalidate(ctx context.Context, job *jobs.Job, keys []jobs.Key, remove bool) error {
	if r.local {
		if err := r.servers.Source.Keys(ctx, job, keys, func(*store.Reading) error { return nil }); err != nil {
			return commandMistake(err)
		}
		return r.invalidateHere(ctx, job, keys, remove)
	}
	return r.invalidateThere(ctx, job, keys, remove)
}

// invalidator fences with this process' own servers, and enqueues.
func (r *runner) invalidator() jobs.Invalidator {
	client := r.servers.Enqueuer(func() *jobs.Spec { return r.spec })
	w := r.worker()
	byColumns := connect.NewScope(r.servers, w)
	return jobs.Invalidator{
		Fence:      w.Fence,
		CheckWhere: byColumns.Check,
		FenceWhere: byColumns.Fence,
		Refused:    store.Permanent,
		Enqueue: func(ctx context.Context, task *asynq.Task) (*asynq.TaskInfo, error) {
			tracing.Inject(ctx, task.Headers())
			return client.EnqueueContext(ctx, task)
		},
	}
}

// commandMistake makes a value that its column cannot take a mistake in the command.
func commandMistake(err error) error {
	if _, is := errors.AsType[*store.KeyValueError](err); is {
		return usageError{err}
	}
	return err
}

func (r *runner) invalidateHere(ctx context.Context, job *jobs.Job, keys []jobs.Key, remove bool) error {
	return r.refreshHere(ctx, jobs.Invalidation{Job: job.Name, Remove: remove}, keys)
}

// refreshHere does in this process what how says with keys, part by part.
func (r *runner) refreshHere(ctx context.Context, how jobs.Invalidation, keys []jobs.Key) error {
	w := r.worker()
	sum := worker.Refreshed{Job: how.Job}
	for part := range slices.Chunk(keys, jobs.MaxKeys) {
		how.Keys = part
		out, err := w.Refresh(ctx, "local", how)
		if err != nil {
			return err
		}
		add(&sum, out)
	}
	return r.refreshed(sum)
}

func (r *runner) invalidateThere(ctx context.Context, job *jobs.Job, keys []jobs.Key, remove bool) error {
	if err := r.servers.Suitable(ctx, r.log); err != nil {
		return err
	}
	done, err := r.invalidator().Keys(ctx, job, keys, remove)
	if _, refused := store.RefusalIn(done.FenceErr); refused && err == nil {
		return fmt.Errorf("the keys are not fenced: %w; the cached values stay as they are for now: task %s is kept "+
			"in the queue, and a worker does it as soon as Redis takes writes", store.WithRemedy(done.FenceErr),
			done.Tasks[0].ID)
	}
	if done.FenceErr != nil && err == nil {
		r.say("stoker: the keys were not fenced at once, the worker does it: %v", done.FenceErr)
	}
	_, queue := errors.AsType[*jobs.QueueError](err)
	_, fence := errors.AsType[*jobs.FenceError](err)
	switch {
	case fence:
		return commandMistake(err)
	case err != nil && !queue:
		return usageError{err} // the keys cannot be a task
	case err != nil:
		return fmt.Errorf("enqueue: %w", err)
	}
	if !r.wait {
		r.warnPaused(ctx, done.Tasks)
		return r.enqueued(done.Tasks, func(int) string { return job.Name })
	}
	return r.awaitRefreshes(ctx, job, done.Tasks)
}

// awaitRefreshes follows tasks to their end, and prints what they did together.
func (r *runner) awaitRefreshes(ctx context.Context, job *jobs.Job, tasks []*asynq.TaskInfo) error {
	w := r.waiter(job.Name, nil)
	sum := worker.Refreshed{Job: job.Name}
	for _, info := range tasks {
		b, err := w.Wait(ctx, job.Name, info)
		if err != nil {
			return err
		}
		out, err := await.Result[worker.Refreshed](b)
		if err != nil {
			return err
		}
		add(&sum, out)
	}
	return r.refreshed(sum)
}

func add(sum *worker.Refreshed, out worker.Refreshed) {
	sum.Job, sum.Snapshot = out.Job, out.Snapshot
	sum.Keys += out.Keys
	sum.Removed += out.Removed
	sum.Oversized += out.Oversized
	sum.Duplicates += out.Duplicates
	sum.BadKeys += out.BadKeys
	sum.Bytes += out.Bytes
	sum.Took += out.Took
	if sum.Warning == "" {
		sum.Warning = out.Warning
	}
}

// refreshed prints the end of an invalidation.
func (r *runner) refreshed(out worker.Refreshed) error {
	if r.json {
		if err := r.printJSON(out); err != nil {
			return err
		}
	} else {
		fmt.Fprintf(r.stdout, "%s: %d keys loaded, %d removed, %s\n", out.Job, out.Keys, out.Removed,
			show.Duration(out.Took))
	}
	if out.Warning != "" {
		return errors.New(out.Warning)
	}
	return nil
}
