package scheduler_test

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hibiken/asynq"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/scheduler"
	"github.com/stokerhq/stoker/store/storetest"
)

// hands are the tasks that workers have taken.
type hands struct {
	sync.Mutex
	tasks []*asynq.TaskInfo
}

func (h *hands) ListActiveTasks(queue string, _ ...asynq.ListOption) (list []*asynq.TaskInfo, err error) {
	h.Lock()
	defer h.Unlock()
	for _, t := range h.tasks {
		if t.Queue == queue {
			list = append(list, t)
		}
	}
	return list, nil
}

// rescues records which tasks were enqueued, by their ID. A rescue is taken at once.
type rescues struct {
	*hands
	ids []string
}

func (q *rescues) EnqueueContext(_ context.Context, t *asynq.Task, opts ...asynq.Option) (*asynq.TaskInfo, error) {
	q.Lock()
	defer q.Unlock()
	id, _ := options(t, opts)
	if slices.Contains(q.ids, id) {
		return nil, asynq.ErrTaskIDConflict
	}
	info := &asynq.TaskInfo{ID: id, Queue: q.tasks[0].Queue, Type: t.Type(), Payload: t.Payload()}
	q.ids = append(q.ids, id)
	q.tasks = append(q.tasks, info)
	return info, nil
}

func (q *rescues) made() int {
	q.Lock()
	defer q.Unlock()
	return len(q.ids)
}

func taken(t *testing.T, id string, task *asynq.Task, queue string) *asynq.TaskInfo {
	t.Helper()
	return &asynq.TaskInfo{ID: id, Queue: queue, Type: task.Type(), Payload: task.Payload()}
}

// Broken by: a refresh that waits for Asynq's own minute; by a slow one that gets
// ever more rescues; and by a run whose worker is alive.
func TestRescue(t *testing.T) {
	refresh, err := jobs.NewInvalidation("product", jobs.Key{"id": "1"})
	if err != nil {
		t.Fatal(err)
	}
	run := jobs.NewRun("product", jobs.CauseAPI)
	for name, test := range map[string]struct {
		task  *asynq.TaskInfo
		lease string
		want  map[time.Duration]int // :: after that long -> rescues
	}{
		"a refresh": {taken(t, "r", refresh, jobs.QueueRefresh), "",
			map[time.Duration]int{4: 0, 8: 1, 14: 1, 20: 2, 30: 2, 45: 3}},
		"a run":            {taken(t, "r", run, jobs.QueueRun), "", map[time.Duration]int{4: 0, 8: 1}},
		"a run of another": {taken(t, "r", run, jobs.QueueRun), "s/x", map[time.Duration]int{8: 1}},
		"a living run":     {taken(t, "r", run, jobs.QueueRun), "r/x", map[time.Duration]int{60: 0}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := storetest.NewLedger()
				if ok, err := l.Lease(t.Context(), "product", test.lease, time.Hour); test.lease != "" &&
					(err != nil || !ok) {
					t.Fatal(ok, err)
				}
				q := &rescues{hands: &hands{tasks: []*asynq.TaskInfo{test.task}}}
				s := scheduler.New(scheduler.Config{Queue: q, Tasks: q, Ledger: l, Epochs: noEpoch{},
					Metrics: scheduler.NewMetrics(prometheus.NewRegistry()), Log: slog.New(slog.DiscardHandler)})
				ctx, cancel := context.WithCancel(t.Context())
				go s.Run(ctx)
				began := time.Now()
				for second := range time.Duration(61) {
					if want, asked := test.want[second]; asked && q.made() != want {
						t.Errorf("after %s: %d rescues, want %d", time.Since(began), q.made(), want)
					}
					time.Sleep(time.Second)
					synctest.Wait()
				}
				cancel()
				synctest.Wait()
			})
		})
	}
}
