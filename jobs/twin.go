package jobs

import (
	"strings"

	"github.com/hibiken/asynq"
)

// twinMark ends the ID of a task that does what another one does.
const twinMark = "~"

// TwinID is the ID of the twin of a task.
func TwinID(id string) string { return id + twinMark }

// Generation is how many twins lie between a task and the one that was asked for: 0
// for that one itself.
func Generation(id string) int { return len(id) - len(strings.TrimRight(id, twinMark)) }

// NewTwin returns a task that does the same as one that some worker has taken and
// seems to have lost. Twins do no harm: fences and claims order what they write. A
// conflict of its ID says that there is one already.
func NewTwin(of *asynq.TaskInfo) *asynq.Task {
	limit, kept, retries := refreshLimit, refreshRetention, refreshRetries
	if of.Type == TypeRun {
		limit, kept, retries = runLimit, retention, runRetries
	}
	return newTask(of.Type, of.Payload, asynq.TaskID(TwinID(of.ID)), asynq.Queue(of.Queue),
		asynq.Timeout(limit), asynq.Retention(kept), asynq.MaxRetry(retries))
}
