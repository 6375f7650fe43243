package jobs

import (
	"errors"
	"strings"

	"github.com/hibiken/asynq"
)

// rescueMark ends the ID of a task that does again what another one was to do.
const rescueMark = "~"

// RescueID is the ID of the rescue of a task.
func RescueID(id string) string { return id + rescueMark }

// Generation is how many rescues lie between a task and the one that was first enqueued: 0 for
// that one itself.
func Generation(id string) int { return len(id) - len(strings.TrimRight(id, rescueMark)) }

// NewRescue returns a task that does the same as one that a worker has taken and seems to have
// lost. To do a task twice does no harm: fences and claims order what is written. A conflict of
// its ID says that there is a rescue already.
func NewRescue(of *asynq.TaskInfo) *asynq.Task {
	limit, kept, retries := refreshLimit, refreshRetention, refreshRetries
	if of.Type == TypeRun {
		limit, kept, retries = RunLimit, retention, runRetries
	}
	rescue := newTask(of.Type, of.Payload, asynq.TaskID(RescueID(of.ID)), asynq.Queue(of.Queue),
		asynq.Timeout(limit), asynq.Retention(kept), asynq.MaxRetry(retries))
	for name, value := range of.Headers {
		if name != headerAt { // what asked for the task asked for its rescue
			rescue.Headers()[name] = value
		}
	}
	return rescue
}

// TaskReader reads a task from a queue; *asynq.Inspector is one.
type TaskReader interface {
	GetTaskInfo(queue, id string) (*asynq.TaskInfo, error)
}

// FindTask returns what became of a task. A worker that was killed keeps its task for half a minute
// or more; meanwhile the scheduler enqueues a rescue of it, and perhaps a rescue of that. FindTask
// returns the first of these that has completed, else the last one: one before it that is archived was
// lost by its worker, and is done by the ones after. The error is asynq.ErrTaskNotFound or
// asynq.ErrQueueNotFound if there is none.
func FindTask(tasks TaskReader, queue, id string) (*asynq.TaskInfo, error) {
	var last *asynq.TaskInfo
	var missing error
	for ; ; id = RescueID(id) {
		info, err := tasks.GetTaskInfo(queue, id)
		switch {
		case errors.Is(err, asynq.ErrTaskNotFound) || errors.Is(err, asynq.ErrQueueNotFound):
			if missing == nil && last == nil {
				missing = err // a task that was handed on is gone, and its rescue is there
				continue
			}
			if last == nil {
				return nil, missing
			}
			return last, nil
		case err != nil:
			return nil, err
		case info.State == asynq.TaskStateCompleted:
			return info, nil
		}
		last = info
	}
}
