package jobs

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/hibiken/asynq"
)

// fenceLimit is how long the databases may take to fence keys. They may be busy, or a table locked:
// an invalidation must not wait for that.
const fenceLimit = 5 * time.Second

// Invalidator fences keys and enqueues the tasks that load or remove them: what the command line and
// the HTTP API do with an invalidation.
type Invalidator struct {
	// Fence makes sure that nothing read before is written to the keys. nil: only the worker fences.
	Fence func(ctx context.Context, job *Job, keys []Key) error
	// CheckWhere reports what keeps a condition from being asked of a job's query: a *NoColumnError, or another
	// error. FenceWhere fences the keys that the condition names, as Fence does, in parts of MaxKeys at most, and
	// hands fenced each part once it is fenced, one at a time. A part that it has begun it ends, also when ctx does.
	// nil: keys are not found by what their rows hold.
	CheckWhere func(ctx context.Context, job *Job, where Where) error
	FenceWhere func(ctx context.Context, job *Job, where Where, fenced func(keys []Key) error) error
	// Refused reports whether an error of Fence is for good: nothing is enqueued then. After any
	// other error the keys are enqueued unfenced, because the worker fences them too, and an
	// invalidation must not be lost because a database is away for a moment.
	Refused func(err error) bool
	// Enqueue hands a task to the queue.
	Enqueue func(ctx context.Context, task *asynq.Task) (*asynq.TaskInfo, error)
}

// Invalidated is how far an invalidation came.
type Invalidated struct {
	Keys     int   // that the tasks name
	Fenced   bool  // nothing read before the call is written to the keys any more
	FenceErr error // why they are not fenced yet, where that is not for good
	Tasks    []*asynq.TaskInfo
}

// FenceError says that an invalidation was refused. Nothing was enqueued.
type FenceError struct{ Err error }

func (e *FenceError) Error() string { return e.Err.Error() }
func (e *FenceError) Unwrap() error { return e.Err }

// QueueError says that the queue failed in the middle.
type QueueError struct {
	Done, Of int // tasks
	Err      error
}

func (e *QueueError) Error() string {
	return fmt.Sprintf("%d of %d tasks were enqueued; doing one twice is harmless, so send it all again: %v", e.Done,
		e.Of, e.Err)
}
func (e *QueueError) Unwrap() error { return e.Err }

// Keys fences keys of the job and enqueues their refresh, or with remove their removal, MaxKeys a task.
// The error is a *FenceError, a *QueueError, or that of NewInvalidations; the tasks that were enqueued
// before it are in the result.
func (i Invalidator) Keys(ctx context.Context, job *Job, keys []Key, remove bool) (Invalidated, error) {
	var done Invalidated
	tasks, err := NewInvalidations(job.Name, keys, remove)
	if err != nil {
		return done, err
	}
	if i.Fence != nil && len(keys) > 0 {
		fencing, cancel := context.WithTimeout(ctx, fenceLimit)
		err := i.Fence(fencing, job, keys)
		cancel()
		if err != nil && i.Refused(err) {
			return done, &FenceError{err}
		}
		done.Fenced, done.FenceErr = err == nil, err
	}
	done.Tasks, err = i.All(ctx, tasks)
	done.Keys = min(len(keys), MaxKeys*len(done.Tasks))
	return done, err
}

// enqueueLimit is how long the queue may take for keys that are fenced, after the end of a context.
const enqueueLimit = 5 * time.Second

// Where finds the keys of the job by what their rows hold, fences them and enqueues their refresh or their removal,
// part by part: what is fenced is enqueued, whatever ends the call. progress is given the number of keys so far; it
// may be nil. The error is that of FenceWhere or a *QueueError.
func (i Invalidator) Where(ctx context.Context, job *Job, where Where, remove bool,
	progress func(keys int)) (done Invalidated, err error) {
	err = i.FenceWhere(ctx, job, where, func(keys []Key) error {
		task, err := newRefresh(Invalidation{Job: job.Name, Keys: keys, Remove: remove, Fenced: !remove})
		if err != nil {
			return err
		}
		kept, cancel := context.WithTimeout(context.WithoutCancel(ctx), enqueueLimit)
		defer cancel()
		infos, err := i.All(kept, []*asynq.Task{task})
		if err != nil {
			return err
		}
		done.Tasks, done.Keys = append(done.Tasks, infos...), done.Keys+len(keys)
		if progress != nil {
			progress(done.Keys)
		}
		return nil
	})
	if q, is := errors.AsType[*QueueError](err); is {
		err = &QueueError{Done: len(done.Tasks), Of: len(done.Tasks) + q.Of, Err: q.Err}
	}
	done.Fenced = err == nil
	return done, err
}

// JobsWith returns those jobs of which a condition can be asked: their query returns every column that it names. It
// is an error if there is none, and if a value does not fit a column of one: then nothing is to be done at all.
func (i Invalidator) JobsWith(ctx context.Context, list []*Job, where Where) (with []*Job, err error) {
	for _, job := range list {
		err := i.CheckWhere(ctx, job, where)
		if _, lacks := errors.AsType[*NoColumnError](err); lacks {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("%w; nothing was done: name the jobs that are meant, to leave this one out", err)
		}
		with = append(with, job)
	}
	if len(with) == 0 {
		return nil, &NoJobError{Columns: where.Columns()}
	}
	return with, nil
}

// NoJobError says that no job has the columns of a condition.
type NoJobError struct{ Columns []string }

func (e *NoJobError) Error() string {
	return fmt.Sprintf("no job has a query that returns %s: see what they return with stoker check",
		strings.Join(e.Columns, " and "))
}

// All enqueues tasks. After an error, a *QueueError, those that were enqueued before it are in the result.
func (i Invalidator) All(ctx context.Context, tasks []*asynq.Task) ([]*asynq.TaskInfo, error) {
	infos := make([]*asynq.TaskInfo, 0, len(tasks))
	for _, task := range tasks {
		info, err := i.Enqueue(ctx, task)
		if err != nil {
			return infos, &QueueError{len(infos), len(tasks), err}
		}
		infos = append(infos, info)
	}
	return infos, nil
}
