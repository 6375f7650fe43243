package jobs

import (
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

// Cause says what asked for a run.
type Cause string

// The causes of a run.
const (
	CauseTick    Cause = "tick"
	CauseCatchUp Cause = "catch-up" // a missed tick, made up once
	CauseCommand Cause = "command"  // stoker warm
	CauseAPI     Cause = "api"
	CauseLocal   Cause = "local" // stoker warm --local
)

// Run is the payload of a run task: warm every key of a job.
type Run struct {
	Job    string `json:"job"`
	Due    int64  `json:"due,omitempty"` // unix seconds of the tick; 0 when no schedule asked
	Cause  Cause  `json:"cause"`
	Remove bool   `json:"remove,omitempty"` // remove the keyset instead of writing it
}

// Key is the values of a job's key columns, by column name, as text that
// Postgres can cast to the column's type. A job whose key template names no
// column has one key, the empty Key.
type Key map[string]string

// MaxKeys is how many keys one invalidation task carries at most.
const MaxKeys = 500

// Invalidation is the payload of a refresh task: these keys are out of date.
type Invalidation struct {
	Job    string `json:"job"`
	Keys   []Key  `json:"keys"`
	Remove bool   `json:"remove,omitempty"` // drop without loading
}

// NewTick returns the task of one tick of job: TaskID warm:<job>@<due>, so that
// any number of replicas enqueue each tick once.
func NewTick(job string, due time.Time, cause Cause) *asynq.Task {
	panic("filled in by the jobs package's author")
}

// NewRun returns a task that runs job once, now.
func NewRun(job string, cause Cause) *asynq.Task { panic("") }

// NewKeysetRemoval returns a task that removes every key of job.
func NewKeysetRemoval(job string, cause Cause) *asynq.Task { panic("") }

// NewInvalidation returns a task that re-loads exactly these keys of job through
// its own query, and removes those that have no row. At most MaxKeys keys.
func NewInvalidation(job string, keys ...Key) (*asynq.Task, error) { panic("") }

// NewRemoval returns a task that drops these keys of job without loading them.
func NewRemoval(job string, keys ...Key) (*asynq.Task, error) { panic("") }

// ParseRun reads the payload of a run task.
func ParseRun(t *asynq.Task) (Run, error) { panic("") }

// ParseInvalidation reads the payload of a refresh task.
func ParseInvalidation(t *asynq.Task) (Invalidation, error) { panic("") }
