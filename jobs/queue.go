package jobs

import (
	"fmt"
	"strings"
	"time"
)

// Queues are the queues that workers take tasks from.
var Queues = []string{QueueRun, QueueRefresh}

// PausedQueue is a queue that someone has paused, with Asynq's dashboard or command line: tasks are put on
// it, and no worker is given one.
type PausedQueue struct {
	Queue string    `json:"queue"`
	Since time.Time `json:"since,omitzero"`
}

// String says what is paused, what that means, and how to resume it.
func (p PausedQueue) String() string {
	since, what := "", "no job runs"
	if !p.Since.IsZero() {
		since = " since " + p.Since.UTC().Format(time.RFC3339)
	}
	if p.Queue == QueueRefresh {
		what = "no invalidation that was asked for is done"
	}
	return fmt.Sprintf("queue %s is paused%s, so %s: resume it with `stoker resume`, or on the Asynq dashboard",
		p.Queue, since, what)
}

// Names that are not drawn by lot. While a task of such a name exists, Asynq refuses another one.
const (
	tickPrefix  = "warm:"
	epochPrefix = "epoch:"
)

// TickID is the ID of the task of one tick.
func TickID(job string, due time.Time) string {
	return fmt.Sprintf("%s%s@%d", tickPrefix, job, due.Unix())
}

// EpochID is the ID of the task that runs a job because an epoch has begun.
func EpochID(job string, epoch uint32) string { return fmt.Sprintf("%s%s@%d", epochPrefix, job, epoch) }

// IsFixedID reports whether a task's ID is made from what the task is for, also if it is a rescue: where
// such a task lies in the archive, what it is for cannot be asked for again.
func IsFixedID(id string) bool {
	return strings.HasPrefix(id, tickPrefix) || strings.HasPrefix(id, epochPrefix)
}

// HandedBack ends the error of a task that a worker could not do and has handed back for another one.
const HandedBack = "; handed back for another worker"
