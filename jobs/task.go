package jobs

import (
	"encoding/json"
	"slices"
	"strconv"
	"time"

	"github.com/hibiken/asynq"
)

// Queues and task types. Runs and refreshes have a queue each, so that a long
// run never delays an invalidation.
const (
	QueueRun     = "stoker-run"
	QueueRefresh = "stoker-refresh"

	TypeRun     = "stoker:run"
	TypeRefresh = "stoker:refresh"
)

// Limits of the tasks. The worker holds a run to its job's own timeout; these
// only end what has lost its worker's attention.
const (
	// RunLimit is the longest that a run may take.
	RunLimit     = 24 * time.Hour
	refreshLimit = time.Hour

	// retention keeps the ID of a tick taken until the slowest replica has tried
	// it, and lets who waits for a task see its end.
	retention = 10 * time.Minute

	// refreshRetention is for who waits alone: at a thousand invalidations a
	// second, each minute of it costs Redis some 50 MB.
	refreshRetention = time.Minute

	runRetries     = 3
	refreshRetries = 8 // nobody asks again for an invalidation
)

// NewTick returns the task of one tick of job: TaskID warm:<job>@<due>, so that
// any number of replicas enqueue each tick once. A conflict of the ID is success.
func NewTick(job string, due time.Time, cause Cause) *asynq.Task {
	payload := marshal(Run{Job: job, Due: due.Unix(), Cause: cause})
	return newTask(TypeRun, payload, asynq.TaskID(TickID(job, due)), asynq.Queue(QueueRun),
		asynq.Timeout(RunLimit), asynq.Retention(retention), asynq.MaxRetry(runRetries))
}

// NewRun returns a task that runs job once, now.
func NewRun(job string, cause Cause) *asynq.Task { return Run{Job: job, Cause: cause}.Task() }

// NewKeysetRemoval returns a task that removes every key of job.
func NewKeysetRemoval(job string, cause Cause) *asynq.Task {
	return Run{Job: job, Cause: cause, Remove: true}.Task()
}

// NewEpochRun returns the task that runs job because an epoch has begun: TaskID
// epoch:<job>@<epoch>, so that it is run once. A conflict of the ID is success.
func NewEpochRun(job string, epoch uint32) *asynq.Task {
	payload := marshal(Run{Job: job, Cause: CauseEpoch})
	return newTask(TypeRun, payload, asynq.TaskID(EpochID(job, epoch)), asynq.Queue(QueueRun),
		asynq.Timeout(RunLimit), asynq.Retention(retention), asynq.MaxRetry(runRetries))
}

// Task returns a task that does what r asks once, now.
func (r Run) Task() *asynq.Task {
	return newTask(TypeRun, marshal(r), asynq.Queue(QueueRun),
		asynq.Timeout(RunLimit), asynq.Retention(retention), asynq.MaxRetry(runRetries))
}

// NewInvalidation returns a task that re-loads exactly these keys of job through
// its own query, and removes those that have no row. The error says what to
// mend: 1 to MaxKeys keys are needed, all with the same columns.
func NewInvalidation(job string, keys ...Key) (*asynq.Task, error) {
	return newRefresh(Invalidation{Job: job, Keys: keys})
}

// NewChangeRun returns a task that runs job because of changes that name no keys, or
// too many. What has gone from the result was deleted, as the database has told us:
// shrink_guard does not keep it.
func NewChangeRun(job string) *asynq.Task {
	return Run{Job: job, Cause: CauseChange, AcceptShrink: true}.Task()
}

// NewRemoval returns a task that drops these keys of job without loading them.
// The error is as for NewInvalidation.
func NewRemoval(job string, keys ...Key) (*asynq.Task, error) {
	return newRefresh(Invalidation{Job: job, Keys: keys, Remove: true})
}

// NewInvalidations returns the tasks that do any number of keys, MaxKeys each:
// invalidations, or with remove removals. The error is as for NewInvalidation.
func NewInvalidations(job string, keys []Key, remove bool) ([]*asynq.Task, error) {
	var tasks []*asynq.Task
	for part := range slices.Chunk(keys, MaxKeys) {
		task, err := newRefresh(Invalidation{Job: job, Keys: part, Remove: remove})
		if err != nil {
			return nil, err
		}
		tasks = append(tasks, task)
	}
	return tasks, nil
}

func newRefresh(i Invalidation) (*asynq.Task, error) {
	if err := i.validate(); err != nil {
		return nil, err
	}
	return newTask(TypeRefresh, marshal(i), asynq.Queue(QueueRefresh),
		asynq.Timeout(refreshLimit), asynq.Retention(refreshRetention), asynq.MaxRetry(refreshRetries)), nil
}

// ParseRun reads the payload of a run task. The error is for good: no retry
// makes the payload right.
func ParseRun(t *asynq.Task) (Run, error) {
	var r Run
	if err := unmarshal(t, TypeRun, &r); err != nil {
		return Run{}, err
	}
	return r, nil
}

// ParseInvalidation reads the payload of a refresh task. The error is for good,
// as for ParseRun.
func ParseInvalidation(t *asynq.Task) (Invalidation, error) {
	var i Invalidation
	if err := unmarshal(t, TypeRefresh, &i); err != nil {
		return Invalidation{}, err
	}
	return i, nil
}

// marshal cannot fail: payloads hold strings, integers and booleans.
func marshal(payload any) []byte {
	data, err := json.Marshal(payload)
	if err != nil {
		panic(err)
	}
	return data
}

// headerAt is when a task was made, in unix milliseconds. It is for metrics
// alone: no client's clock decides anything.
const headerAt = "stoker-at"

// newTask is asynq.NewTask with the time in a header.
func newTask(typ string, payload []byte, opts ...asynq.Option) *asynq.Task {
	at := strconv.FormatInt(time.Now().UnixMilli(), 10)
	return asynq.NewTaskWithHeaders(typ, payload, map[string]string{headerAt: at}, opts...)
}

// EnqueuedAt returns when a task was made; ok is false for a task that was not
// made by this package.
func EnqueuedAt(t *asynq.Task) (at time.Time, ok bool) {
	ms, err := strconv.ParseInt(t.Headers()[headerAt], 10, 64)
	if err != nil {
		return time.Time{}, false
	}
	return time.UnixMilli(ms), true
}
