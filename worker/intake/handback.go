// Package intake stands between Asynq and the worker's handlers: it hands tasks back that a worker cannot do.
package intake

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"time"

	"github.com/hibiken/asynq"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/worker/debt"
)

// UnfitError says that this worker cannot do a task, and that another one perhaps can: it has another spec,
// or is of another version. So it is while a deploy goes on.
type UnfitError struct{ Err error }

func (e *UnfitError) Error() string { return e.Err.Error() }
func (e *UnfitError) Unwrap() error { return e.Err }

// OtherDefinitionError says that a task was made with another definition of its job than this worker has: while a
// changed spec is rolled out, workers with both are there.
type OtherDefinitionError struct{ Job, File string }

func (e *OtherDefinitionError) Error() string {
	return fmt.Sprintf("the task is of another definition of job %q than %s has", e.Job, e.File)
}

// HandedBackError sends a task back to the queue, without using up one of its retries.
type HandedBackError struct {
	Err   error
	Since time.Duration // the first time
}

func (e *HandedBackError) Error() string { return e.Err.Error() + jobs.HandedBack }
func (e *HandedBackError) Unwrap() error { return e.Err }

// A task that is handed back comes again after a second, and ever more slowly: some 150 times in all.
const (
	firstHandBack = time.Second
	lastHandBack  = 15 * time.Second
	mostHandBacks = 1000 // whatever the clock of Redis does
)

// Delay is when the task comes again.
func (e *HandedBackError) Delay() time.Duration {
	return min(max(firstHandBack, e.Since/20), lastHandBack)
}

// Metrics counts what is handed back.
type Metrics struct{ handedBack, freed *prometheus.CounterVec }

// NewMetrics registers the metrics.
func NewMetrics(r prometheus.Registerer) *Metrics {
	counter := func(name, help string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{"queue"})
		r.MustRegister(c)
		for _, queue := range jobs.Queues {
			c.WithLabelValues(queue)
		}
		return c
	}
	return &Metrics{
		handedBack: counter("stoker_tasks_handed_back_total",
			"Tasks of a job or a version that this worker does not know, handed back for other workers."),
		freed: counter("stoker_tasks_freed_total",
			"Tasks that no worker could do for a quarter of an hour, and that were given up."),
	}
}

// Counter counts how often a task was handed back; *queue.Queues is one.
type Counter interface {
	HandedBack(ctx context.Context, queue, id string, made time.Time) (n int64, since time.Duration, err error)
	// HasWorker reports whether a daemon is there whose spec has the job.
	HasWorker(ctx context.Context, job string) (bool, error)
}

// Enqueuer puts tasks on the queues of the worker's namespace; *queue.Client is one.
type Enqueuer interface {
	EnqueueContext(ctx context.Context, t *asynq.Task, opts ...asynq.Option) (*asynq.TaskInfo, error)
}

// HandBack hands tasks back. Every exported field is required.
type HandBack struct {
	Counter Counter
	Client  Enqueuer
	Limit   time.Duration // after which a task is given up
	Other   time.Duration // for which a task of another definition is left to workers that have it
	Metrics *Metrics
	Log     *slog.Logger

	mu   sync.Mutex
	said map[string]time.Time // :: why a task is not for this worker -> when that was logged
}

// sayEvery is how often it is logged that tasks are handed back for one reason: a removed job may tick each second.
const sayEvery = time.Minute

// isNew reports whether a reason was not logged in the last minute.
func (h *HandBack) isNew(why error) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	maps.DeleteFunc(h.said, func(_ string, at time.Time) bool { return now.Sub(at) >= sayEvery })
	if _, known := h.said[why.Error()]; known {
		return false
	}
	if h.said == nil {
		h.said = make(map[string]time.Time)
	}
	h.said[why.Error()] = now
	return true
}

// Return leaves a task that this worker cannot do to others. After a while it gives the task up: one whose
// name is fixed goes, so that it can be asked for again, and any other is archived with the reason.
func (h *HandBack) Return(ctx context.Context, from string, task *asynq.Task, why error) error {
	id := task.ResultWriter().TaskID()
	made, _ := jobs.EnqueuedAt(task)
	n, since, err := h.Counter.HandedBack(ctx, from, id, made)
	attrs := []any{jobs.LogTask, id, "queue", from, jobs.LogErr, why}
	switch {
	case err != nil:
		h.Log.Warn("a task was handed back and not counted", jobs.LogTask, id, jobs.LogErr, err)
	case since >= h.Limit || n > mostHandBacks:
		if h.isElsewhere(ctx, task, why) {
			break
		}
		h.Metrics.freed.WithLabelValues(from).Inc()
		h.Log.Error("no worker could do a task; it is given up. Run the same version and the same spec everywhere",
			append(attrs, "handed_back", n-1, "for", since.Round(time.Second))...)
		return givenUp(id, why)
	case n == 1 && h.isNew(why):
		h.Log.Warn("a task is not for this worker: handed back for others, which is right while a deploy goes on",
			append(attrs, "for_at_most", h.Limit)...)
	}
	return h.putBack(ctx, from, task, why, since)
}

// isElsewhere reports whether a daemon with another spec has the job of a task, so that it may yet come to the right
// one: specs that share queues get in each other's way, and that is said elsewhere.
func (h *HandBack) isElsewhere(ctx context.Context, task *asynq.Task, why error) bool {
	if _, unknown := errors.AsType[*jobs.UnknownJobError](why); !unknown {
		return false // another version may do it, and of those nobody knows
	}
	has, err := h.Counter.HasWorker(ctx, jobs.JobOf(task))
	if err != nil {
		h.Log.Warn("it was not looked whether another daemon has the job of a task", jobs.LogErr, err)
	}
	return has
}

// Leave leaves a task of another definition of its job to workers that have that. After a while there are none: then
// nil is returned, and the task is done as this worker's spec has it, for what it asks is still wanted.
func (h *HandBack) Leave(ctx context.Context, from string, task *asynq.Task, why error) error {
	id := task.ResultWriter().TaskID()
	made, _ := jobs.EnqueuedAt(task)
	n, since, err := h.Counter.HandedBack(ctx, from, id, made)
	attrs := []any{jobs.LogTask, id, "queue", from, jobs.LogErr, why}
	switch {
	case err != nil:
		h.Log.Warn("a task was handed back and not counted", jobs.LogTask, id, jobs.LogErr, err)
	case since >= h.Other:
		h.Log.Info("no worker has the definition of the job that a task was made with; it is done with this one's",
			attrs...)
		return nil
	case n == 1 && h.isNew(why):
		h.Log.Info("a task is left to workers with another spec, which is right while it is rolled out",
			append(attrs, "for_at_most", h.Other)...)
	}
	return h.putBack(ctx, from, task, why, since)
}

// putBack has a task come again after a while; since is how long it has been handed back.
func (h *HandBack) putBack(ctx context.Context, from string, task *asynq.Task, why error, since time.Duration) error {
	h.Metrics.handedBack.WithLabelValues(from).Inc()
	if debt.LastTry(ctx) {
		return h.handOn(ctx, from, task, why)
	}
	return &HandedBackError{why, since}
}

// givenUp ends a task for good.
func givenUp(id string, why error) error {
	if jobs.IsFixedID(id) {
		return fmt.Errorf("%w: %w", why, asynq.RevokeTask)
	}
	return fmt.Errorf("%w: %w", why, asynq.SkipRetry)
}

// handOn puts another task in the place of one without a retry left: Asynq archives that for any error.
func (h *HandBack) handOn(ctx context.Context, from string, task *asynq.Task, why error) error {
	next := jobs.NewRescue(&asynq.TaskInfo{ID: task.ResultWriter().TaskID(), Queue: from, Type: task.Type(),
		Payload: task.Payload(), Headers: task.Headers()})
	_, err := h.Client.EnqueueContext(ctx, next, asynq.Queue(from), asynq.ProcessIn(firstHandBack))
	if err != nil && !errors.Is(err, asynq.ErrTaskIDConflict) {
		return fmt.Errorf("%w; another task could not be put in its place: %w", why, err)
	}
	return fmt.Errorf("%w: %w", why, asynq.RevokeTask)
}
