// Package await follows an enqueued task to its end, for `warm --wait` and `invalidate --wait`.
package await

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/hibiken/asynq"

	"github.com/stokerhq/stoker/cmd/stoker/internal/show"
	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
)

// Inspector reads tasks and queues; *asynq.Inspector is one.
type Inspector interface {
	jobs.TaskReader
	Servers() ([]*asynq.ServerInfo, error)
	GetQueueInfo(queue string) (*asynq.QueueInfo, error)
}

// LiveRuns reads the progress of a job's run; store/ledger does.
type LiveRuns interface {
	Live(ctx context.Context, job string) (store.Progress, bool, error)
}

// Waiter follows an enqueued task to its end.
type Waiter struct {
	Inspector Inspector
	Ledger    LiveRuns
	Probe     func(context.Context) error // whether the queue's Redis takes writes
	Note      func(string)                // is given, once, why the task has not begun
	Watch     func(store.Progress) error  // is given the progress of the task's run; nil: it is not read
}

const (
	lookEvery = 100 * time.Millisecond

	// askEvery is how often it is asked whether anybody listens while a task lies untouched.
	askEvery = time.Second

	// unheard is how long a task may lie untouched while no worker is busy: an idle one takes it within a tenth of
	// a second, and one that has just ended another task on a busy machine a little later.
	unheard = 3 * time.Second

	// unknown is how long workers may hand a task back that they do not know: a deploy may be going on.
	unknown = time.Minute
)

// Wait returns the result that the task's handler left, when the task has ended
// well. That no worker takes it is an error after a few seconds, and that each
// hands it back is one after a minute; the task then stays queued.
func (w *Waiter) Wait(ctx context.Context, job string, task *asynq.TaskInfo) ([]byte, error) {
	asked, pending, known := time.Now(), time.Now(), time.Now()
	noted := ""
	for {
		info, err := jobs.FindTask(w.Inspector, task.Queue, task.ID)
		if err != nil {
			return nil, fmt.Errorf("look at task %s: %w", task.ID, err)
		}
		switch info.State {
		case asynq.TaskStateCompleted:
			return info.Result, nil
		case asynq.TaskStateArchived:
			return nil, errors.New(strings.TrimSuffix(info.LastErr, ": "+asynq.SkipRetry.Error()))
		case asynq.TaskStateRetry:
			if r, is := store.RefusalInText(info.LastErr); is {
				return nil, fmt.Errorf("%s; task %s stays in the queue, and is done as soon as Redis takes writes", r,
					task.ID)
			}
			if why := info.LastErr + "; it will be tried again"; why != noted {
				noted = why
				w.Note(why)
			}
			pending = time.Now()
			if !strings.HasSuffix(info.LastErr, jobs.HandedBack) {
				known = time.Now()
			} else if time.Since(known) > unknown {
				return nil, fmt.Errorf("no worker has done it for %s: %s; the task stays queued for a while",
					show.Duration(unknown), strings.TrimSuffix(info.LastErr, jobs.HandedBack))
			}
		case asynq.TaskStatePending:
			if time.Since(asked) < askEvery {
				break
			}
			asked = time.Now()
			if err := w.heard(ctx, task); err == nil {
				pending = time.Now()
			} else if time.Since(pending) > unheard {
				return nil, err
			}
		case asynq.TaskStateActive:
			pending = time.Now()
			if err := w.progress(ctx, job, info.ID); err != nil {
				return nil, err
			}
		}
		if !store.Sleep(ctx, lookEvery) {
			return nil, fmt.Errorf("stopped waiting; task %s goes on", task.ID)
		}
	}
}

// heard reports an error when no worker takes tasks from the task's queue: its Redis refuses writes, it is paused,
// or no worker is registered, or one is but does nothing, though our task lies there.
// What is registered outlives a worker that was killed by some ten seconds.
func (w *Waiter) heard(ctx context.Context, task *asynq.TaskInfo) error {
	queue := task.Queue
	if err := w.Probe(ctx); err != nil {
		return fmt.Errorf("no worker can take task %s from the queue: %w; it stays there", task.ID, err)
	}
	info, err := w.Inspector.GetQueueInfo(queue)
	if err != nil {
		return fmt.Errorf("look at queue %s: %w", queue, err)
	}
	if info.Paused {
		return fmt.Errorf("%s; the task stays queued until then", jobs.PausedQueue{Queue: queue})
	}
	servers, err := w.Inspector.Servers()
	if err != nil {
		return fmt.Errorf("look for workers: %w", err)
	}
	for _, s := range servers {
		if _, listens := s.Queues[queue]; listens && s.Status == "active" && info.Active > 0 {
			return nil // busy
		}
	}
	return fmt.Errorf("no worker is listening on queue %s: start `stoker run`, or use --local; the task stays "+
		"queued until a worker comes", queue)
}

func (w *Waiter) progress(ctx context.Context, job, id string) error {
	if w.Watch == nil {
		return nil
	}
	p, ok, err := w.Ledger.Live(ctx, job)
	if err != nil || !ok || p.ID != id {
		return err
	}
	return w.Watch(p)
}

// Result reads a handler's result.
func Result[T any](b []byte) (v T, err error) {
	if err := json.Unmarshal(b, &v); err != nil {
		return v, fmt.Errorf("read the task's result: %w", err)
	}
	return v, nil
}
