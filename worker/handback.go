package worker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hibiken/asynq"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/worker/debt"
)

// unfitError says that this worker cannot do a task, and that another one perhaps can: it has another spec,
// or is of another version. So it is while a deploy goes on.
type unfitError struct{ err error }

func (e *unfitError) Error() string { return e.err.Error() }
func (e *unfitError) Unwrap() error { return e.err }

// handedBackError sends a task back to the queue, without using up one of its retries.
type handedBackError struct {
	err   error
	since time.Duration // the first time
}

func (e *handedBackError) Error() string { return e.err.Error() + jobs.HandedBack }
func (e *handedBackError) Unwrap() error { return e.err }

// A task that is handed back comes again after a second, and ever more slowly: some 150 times in all.
const (
	firstHandBack = time.Second
	lastHandBack  = 15 * time.Second
	mostHandBacks = 1000 // whatever the clock of Redis does
)

func (e *handedBackError) delay() time.Duration {
	return min(max(firstHandBack, e.since/20), lastHandBack)
}

// handBack leaves a task that this worker cannot do to others. After a while it gives the task up: one whose
// name is fixed goes, so that it can be asked for again, and any other is archived with the reason.
func (s *Server) handBack(ctx context.Context, from string, task *asynq.Task, why error) error {
	id := task.ResultWriter().TaskID()
	made, _ := jobs.EnqueuedAt(task)
	n, since, err := s.queues.HandedBack(ctx, from, id, made)
	attrs := []any{jobs.LogTask, id, "queue", from, jobs.LogErr, why}
	switch {
	case err != nil:
		s.w.log.Warn("a task was handed back and not counted", jobs.LogTask, id, jobs.LogErr, err)
	case since >= s.pace.handBack || n > mostHandBacks:
		s.w.metrics.freed.WithLabelValues(from).Inc()
		s.w.log.Error("no worker could do a task; it is given up. Run the same version and the same spec everywhere",
			append(attrs, "handed_back", n-1, "for", since.Round(time.Second))...)
		return givenUp(id, why)
	case n == 1:
		s.w.log.Warn("a task is not for this worker: handed back for others, which is right while a deploy goes on",
			append(attrs, "for_at_most", s.pace.handBack)...)
	}
	s.w.metrics.handedBack.WithLabelValues(from).Inc()
	if debt.LastTry(ctx) {
		return s.handOn(ctx, from, task, why)
	}
	return &handedBackError{why, since}
}

// givenUp ends a task for good.
func givenUp(id string, why error) error {
	if jobs.IsFixedID(id) {
		return fmt.Errorf("%w: %w", why, asynq.RevokeTask)
	}
	return fmt.Errorf("%w: %w", why, asynq.SkipRetry)
}

// handOn puts another task in the place of one without a retry left: Asynq archives that for any error.
func (s *Server) handOn(ctx context.Context, from string, task *asynq.Task, why error) error {
	next := jobs.NewRescue(&asynq.TaskInfo{ID: task.ResultWriter().TaskID(), Queue: from, Type: task.Type(),
		Payload: task.Payload()})
	_, err := asynq.NewClientFromRedisClient(s.client).EnqueueContext(ctx, next, asynq.ProcessIn(firstHandBack))
	if err != nil && !errors.Is(err, asynq.ErrTaskIDConflict) {
		return fmt.Errorf("%w; another task could not be put in its place: %w", why, err)
	}
	return fmt.Errorf("%w: %w", why, asynq.RevokeTask)
}
