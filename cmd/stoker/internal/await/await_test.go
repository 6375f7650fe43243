package await_test

import (
	"context"
	"strings"
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

// queued is a queue whose only worker is busy with another task, and takes ours a while after that one has ended.
type queued struct{ freeAt, takenAt time.Time }

func (q queued) GetTaskInfo(_, id string) (*asynq.TaskInfo, error) {
	switch {
	case id != "t":
		return nil, asynq.ErrTaskNotFound
	case time.Now().Before(q.takenAt):
		return &asynq.TaskInfo{ID: id, State: asynq.TaskStatePending}, nil
	}
	return &asynq.TaskInfo{ID: id, State: asynq.TaskStateCompleted, Result: []byte("done")}, nil
}

func (queued) Servers() ([]*asynq.ServerInfo, error) {
	return []*asynq.ServerInfo{{Queues: map[string]int{"stoker-run": 1}, Status: "active"}}, nil
}

func (q queued) GetQueueInfo(string) (*asynq.QueueInfo, error) {
	if time.Now().Before(q.freeAt) {
		return &asynq.QueueInfo{Active: 1}, nil
	}
	return &asynq.QueueInfo{}, nil
}

func (queued) Live(context.Context, string) (store.Progress, bool, error) {
	return store.Progress{}, false, nil
}

// Broken by: asking every tenth of a second, so that a worker between two tasks is taken for gone; and by
// asking only once, so that a worker that was killed with a task in hand is waited for without end.
func TestWaitTellsBusyFromGone(t *testing.T) {
	for _, c := range []struct {
		name  string
		taken time.Duration // after the other task has ended
		want  string        // of the error
	}{
		{"between two tasks", 2 * time.Second, ""},
		{"gone", time.Hour, "no worker is listening"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				free := time.Now().Add(6 * time.Second)
				q := queued{free, free.Add(c.taken)}
				w := &await.Waiter{Inspector: q, Ledger: q, Probe: func(context.Context) error { return nil }}
				_, err := w.Wait(t.Context(), "product", &asynq.TaskInfo{ID: "t", Queue: "stoker-run"})
				switch took := time.Since(free); {
				case c.want == "" && err != nil:
					t.Error(err)
				case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
					t.Errorf("error %v, not %q", err, c.want)
				case took > 4*time.Second:
					t.Errorf("ended %s after the worker was free", took)
				}
			})
		})
	}
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
