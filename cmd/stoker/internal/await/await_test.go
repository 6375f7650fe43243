package await_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hibiken/asynq"

	"github.com/stokerhq/stoker/cmd/stoker/internal/await"
	"github.com/stokerhq/stoker/store"
)

// rescued is a queue whose worker was killed with task t in hand; the rescue of t ends after a
// second. It is also the ledger, which shows the rescue's progress.
type rescued struct{ began time.Time }

func (r rescued) GetTaskInfo(_, id string) (*asynq.TaskInfo, error) {
	switch {
	case id == "t":
		return &asynq.TaskInfo{ID: id, State: asynq.TaskStateActive}, nil
	case id != "t~":
		return nil, asynq.ErrTaskNotFound
	case time.Since(r.began) < time.Second:
		return &asynq.TaskInfo{ID: id, State: asynq.TaskStateActive}, nil
	}
	return &asynq.TaskInfo{ID: id, State: asynq.TaskStateCompleted, Result: []byte("done")}, nil
}

func (rescued) Servers() ([]*asynq.ServerInfo, error)         { return nil, nil }
func (rescued) GetQueueInfo(string) (*asynq.QueueInfo, error) { return &asynq.QueueInfo{}, nil }
func (rescued) Live(context.Context, string) (store.Progress, bool, error) {
	return store.Progress{ID: "t~", Job: "product", Keys: 7}, true, nil
}

// Broken by: waiting for the task of a killed worker, which Asynq keeps for a minute or more, and
// showing no progress meanwhile.
func TestWaitFollowsTheRescue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		r, shown := rescued{began}, 0
		w := &await.Waiter{Inspector: r, Ledger: r, Watch: func(p store.Progress) error { shown++; return nil }}
		result, err := w.Wait(t.Context(), "product", &asynq.TaskInfo{ID: "t", Queue: "stoker-run"})
		if err != nil || string(result) != "done" {
			t.Errorf("result %q, error %v", result, err)
		}
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("waited %s", took)
		}
		if shown == 0 {
			t.Error("no progress was shown")
		}
	})
}
