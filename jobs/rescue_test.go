package jobs_test

import (
	"errors"
	"testing"

	"github.com/hibiken/asynq"

	"github.com/stokerhq/stoker/jobs"
)

// tasks are the states of tasks, by ID.
type tasks map[string]asynq.TaskState

func (t tasks) GetTaskInfo(_, id string) (*asynq.TaskInfo, error) {
	state, ok := t[id]
	if !ok {
		return nil, asynq.ErrTaskNotFound
	}
	return &asynq.TaskInfo{ID: id, State: state}, nil
}

func TestFindTask(t *testing.T) {
	const active, pending, done, failed = asynq.TaskStateActive, asynq.TaskStatePending, asynq.TaskStateCompleted,
		asynq.TaskStateArchived
	for name, test := range map[string]struct {
		tasks tasks
		want  string // ID; "": there is none
	}{
		"no rescue":                     {tasks{"t": active}, "t"},
		"done":                          {tasks{"t": done}, "t"},
		"the rescue is done":            {tasks{"t": active, "t~": done}, "t~"},
		"the rescue has failed":         {tasks{"t": active, "t~": failed}, "t~"},
		"done after all":                {tasks{"t": done, "t~": active}, "t"},
		"a rescue of a rescue":          {tasks{"t": active, "t~": active, "t~~": pending}, "t~~"},
		"the rescue's rescue is done":   {tasks{"t": active, "t~": active, "t~~": done}, "t~~"},
		"lost":                          {tasks{"other": done}, ""},
		"archived, the rescue is going": {tasks{"t": failed, "t~": active}, "t~"},
		"archived, the rescue is done":  {tasks{"t": failed, "t~": done}, "t~"},
		"both are archived":             {tasks{"t": failed, "t~": failed}, "t~"},
		"orphaned twice":                {tasks{"t": failed, "t~": failed, "t~~": active}, "t~~"},
		"handed on":                     {tasks{"t~": pending}, "t~"},
	} {
		t.Run(name, func(t *testing.T) {
			info, err := jobs.FindTask(test.tasks, "q", "t")
			switch {
			case test.want == "":
				if !errors.Is(err, asynq.ErrTaskNotFound) {
					t.Errorf("error %v", err)
				}
			case err != nil || info.ID != test.want:
				t.Errorf("%v, %v; want %s", info, err, test.want)
			}
		})
	}
}
