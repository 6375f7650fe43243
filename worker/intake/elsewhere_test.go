package intake

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"github.com/stokerhq/stoker/jobs"
)

// daemons has a worker for these jobs, or cannot be asked.
type daemons map[string]bool

func (daemons) HandedBack(context.Context, string, string, time.Time) (int64, time.Duration, error) {
	return 0, 0, nil
}

func (d daemons) HasWorker(_ context.Context, job string) (bool, error) {
	if d == nil {
		return false, errors.New("no answer")
	}
	return d[job], nil
}

// Broken by: a task that is given up while a daemon is there that has its job; and one that is handed back for ever,
// because it is this worker itself that has the job and cannot read the task.
func TestTaskIsElsewhere(t *testing.T) {
	unknown := &jobs.UnknownJobError{Job: "theirs", File: "stoker.yaml"}
	for name, test := range map[string]struct {
		daemons daemons
		job     string
		why     error
		want    bool
	}{
		"a daemon has it":     {daemons{"theirs": true}, "theirs", unknown, true},
		"none has it":         {daemons{"ours": true}, "theirs", unknown, false},
		"no answer":           {nil, "theirs", unknown, false},
		"of another version":  {daemons{"ours": true}, "ours", errors.New(`unknown field "v"`), false},
		"a task without jobs": {daemons{"theirs": true}, "", unknown, false},
	} {
		t.Run(name, func(t *testing.T) {
			h := &HandBack{Counter: test.daemons, Log: slog.New(slog.DiscardHandler)}
			task := asynq.NewTask(jobs.TypeRun, []byte(`{"job":"`+test.job+`"}`))
			if got := h.isElsewhere(t.Context(), task, test.why); got != test.want {
				t.Errorf("elsewhere: %t", got)
			}
		})
	}
}
