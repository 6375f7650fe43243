package changes

import (
	"encoding/json"
	"errors"

	"github.com/hibiken/asynq"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
)

// fate is what became of a task.
type fate string

const (
	unknown fate = "the queue does not answer"
	waits   fate = "no worker has taken it"
	goesOn  fate = "a worker has it"
	done    fate = "it is done"
	lost    fate = "redis has lost it"
	failed  fate = "it has failed for good"
)

// ask looks what became of a task. A worker that was killed keeps its task for a
// minute: then what its twin did counts, which the scheduler has made of it, or the
// twin of that.
func (d *desk) ask(b *batch) fate {
	for id := b.id; ; id = jobs.TwinID(id) {
		info, err := d.tasks.GetTaskInfo(b.queue, id)
		switch {
		case errors.Is(err, asynq.ErrTaskNotFound) || errors.Is(err, asynq.ErrQueueNotFound):
			if id == b.id {
				return lost
			}
			return goesOn // the last one that is there
		case err != nil:
			return unknown
		case info.State == asynq.TaskStateCompleted:
			return ended(info, b)
		case info.State == asynq.TaskStateArchived:
			return failed
		case info.State == asynq.TaskStatePending && id == b.id:
			return waits
		case info.State != asynq.TaskStateActive:
			return goesOn
		}
	}
}

// ended is the fate of a task that ended well. A run that another one has superseded
// ends well, too; but that one may fail.
func ended(info *asynq.TaskInfo, b *batch) fate {
	var result struct {
		Record  store.Record `json:"record"`
		Skipped string       `json:"skipped"`
	}
	if b.keys != nil || len(info.Result) == 0 {
		return done
	}
	if err := json.Unmarshal(info.Result, &result); err != nil || result.Skipped != "" || result.Record.State != store.StateOK {
		return failed
	}
	return done
}
