package jobs

import (
	"context"
	"fmt"
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
	// Refused reports whether an error of Fence is for good: nothing is enqueued then. After any
	// other error the keys are enqueued unfenced, because the worker fences them too, and an
	// invalidation must not be lost because a database is away for a moment.
	Refused func(err error) bool
	// Enqueue hands a task to the queue.
	Enqueue func(ctx context.Context, task *asynq.Task) (*asynq.TaskInfo, error)
}

// Invalidated is how far an invalidation came.
type Invalidated struct {
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
	return done, err
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
