package web

import (
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hibiken/asynq"

	"github.com/stokerhq/stoker/jobs"
)

// fakeTasks has tasks that end after a while.
type fakeTasks struct {
	began time.Time
	ends  map[string]ending // :: ID
}

type ending struct {
	after time.Duration
	state asynq.TaskState
	err   string
}

func (f *fakeTasks) GetTaskInfo(_, id string) (*asynq.TaskInfo, error) {
	end, ok := f.ends[id]
	switch {
	case !ok:
		return nil, fmt.Errorf("asynq: %w", asynq.ErrTaskNotFound)
	case time.Since(f.began) < end.after:
		return &asynq.TaskInfo{State: asynq.TaskStateActive}, nil
	}
	return &asynq.TaskInfo{State: end.state, LastErr: end.err}, nil
}

func TestInvalidateWaits(t *testing.T) {
	good := ending{time.Second, asynq.TaskStateCompleted, ""}
	never := ending{time.Hour, asynq.TaskStateCompleted, ""}
	fenced := fencerFunc(func(*jobs.Job, []jobs.Key) error { return nil })
	for name, tt := range map[string]struct {
		ends  map[string]ending
		query string
		want  int
		says  string
		took  time.Duration
	}{
		"until fresh": {map[string]ending{"task-1": good,
			"task-2": {2 * time.Second, asynq.TaskStateCompleted, ""}}, "?wait=1", 200,
			`"fenced":true,"task_ids":["task-1","task-2"],"queue":"stoker-refresh","fresh":true`, 2 * time.Second},
		"a task has failed": {map[string]ending{"task-1": good,
			"task-2": {time.Second, asynq.TaskStateArchived, "no such column"}}, "?wait=1", 502,
			`"fresh":false,"failed":["no such column"]`, time.Second},
		"its worker was killed": {map[string]ending{"task-1": never, "task-1~": good, "task-2": good}, "?wait=1", 200,
			`"fresh":true`, time.Second},
		"no worker": {map[string]ending{"task-1": never, "task-2": good}, "?wait=1", 504, "is a worker running?",
			waitLimit},
		"not asked to":   {map[string]ending{"task-1": never}, "", 202, `"fenced":true`, 0},
		"not understood": {nil, "?wait=yes", 400, "wait=yes: give 1", 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tasks := &fakeTasks{began: time.Now(), ends: tt.ends}
				queue := &fakeQueue{}
				s := newServer(t, func(cfg *Config) { cfg.Enqueuer, cfg.Fencer, cfg.Tasks = queue, fenced, tasks })
				w := call(s, "POST", "/api/v1/jobs/product/invalidate"+tt.query, manyKeys(jobs.MaxKeys+1))
				wantStatus(t, w, tt.want)
				wantBody(t, w, tt.says)
				if took := time.Since(tasks.began).Truncate(time.Second); took != tt.took {
					t.Errorf("the answer came after %s, want %s", took, tt.took)
				}
				if tt.want == http.StatusBadRequest && len(queue.tasks) > 0 {
					t.Error("a wrong call was enqueued")
				}
			})
		})
	}
}
