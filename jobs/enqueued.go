package jobs

import (
	"strconv"
	"time"

	"github.com/hibiken/asynq"
)

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
