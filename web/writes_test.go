package web

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hibiken/asynq"

	"github.com/stokerhq/stoker/jobs"
)

var (
	errNoReplicas = errors.New("arm the cache: NOREPLICAS Not enough good replicas to write")
	errEval       = errors.New("UNKNOWN: redis eval error: OOM command not allowed when used memory > 'maxmemory'")
)

// refusingQueue is a queue whose Redis refuses writes.
type refusingQueue struct{}

func (*refusingQueue) EnqueueContext(context.Context, *asynq.Task, ...asynq.Option) (*asynq.TaskInfo, error) {
	return nil, fmt.Errorf("enqueue: %w", errEval)
}

// Whoever asks for what Redis refuses gets Redis' words and the remedy at once, and learns whether it is kept.
// Broken by: 202 or a long wait for an invalidation whose fence was refused, and 503 for a queue that refuses.
func TestInvalidateOnARefusingRedis(t *testing.T) {
	good := ending{time.Second, asynq.TaskStateCompleted, ""}
	fails := func(*jobs.Job, []jobs.Key) error { return errNoReplicas }
	passes := func(*jobs.Job, []jobs.Key) error { return nil }
	for name, tt := range map[string]struct {
		fence fencerFunc
		queue Enqueuer
		ends  map[string]ending
		probe error
		call  string
		says  []string
		took  time.Duration
	}{
		"the cache": {fence: fails, queue: &fakeQueue{}, call: "product/invalidate",
			says: []string{"NOREPLICAS Not enough", "min-replicas-to-write", "kept in the queue", `["task-1"]`}},
		"the cache, and it is waited for": {fence: fails, queue: &fakeQueue{}, ends: map[string]ending{"task-1": good},
			call: "product/invalidate?wait=1", says: []string{"NOREPLICAS Not enough", "kept in the queue"}},
		"the queue": {fence: passes, queue: &refusingQueue{}, call: "product/invalidate",
			says: []string{"OOM command", "raise maxmemory", "nothing is kept", `"task_ids":[]`}},
		"both": {fence: fails, queue: &refusingQueue{}, call: "product/invalidate",
			says: []string{"OOM command", "nothing is kept"}},
		"a run": {fence: passes, queue: &refusingQueue{}, call: "product/warm",
			says: []string{"OOM command", "raise maxmemory"}},
		"the worker finds out": {fence: passes, queue: &fakeQueue{}, ends: map[string]ending{"task-1": {2 * time.Second,
			asynq.TaskStateRetry, errNoReplicas.Error()}}, call: "product/invalidate?wait=1", took: 2 * time.Second,
			says: []string{`"fresh":false`, "NOREPLICAS Not enough", "kept in the queue"}},
		"no worker can take it": {fence: passes, queue: &fakeQueue{}, ends: map[string]ending{"task-1": {time.Hour,
			asynq.TaskStateCompleted, ""}}, probe: errEval, call: "product/invalidate?wait=1", took: time.Second,
			says: []string{`"fresh":false`, "OOM command"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				s := newServer(t, func(cfg *Config) {
					cfg.Enqueuer, cfg.Fencer, cfg.Tasks = tt.queue, tt.fence, &fakeTasks{began: began, ends: tt.ends}
					cfg.Probe = func(context.Context) error { return tt.probe }
				})
				w := call(s, "POST", "/api/v1/jobs/"+tt.call, `{"keys": [{"id": "1"}]}`)
				wantStatus(t, w, 502)
				wantBody(t, w, tt.says...)
				if took := time.Since(began).Truncate(time.Second); took != tt.took {
					t.Errorf("the answer came after %s, want %s", took, tt.took)
				}
			})
		})
	}
}

// A try that failed for another reason is named when the wait is over.
func TestWaitNamesTheLastError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, func(cfg *Config) {
			cfg.Fencer = fencerFunc(func(*jobs.Job, []jobs.Key) error { return nil })
			cfg.Tasks = &fakeTasks{began: time.Now(), ends: map[string]ending{"task-1": {0, asynq.TaskStateRetry,
				"dial tcp: connection refused"}}}
		})
		w := call(s, "POST", "/api/v1/jobs/product/invalidate?wait=1", `{"keys": [{"id": "1"}]}`)
		wantStatus(t, w, 504)
		wantBody(t, w, "the last try failed: dial tcp: connection refused")
	})
}

// Page and API show a Redis that takes no writes: the page once, and the API at every job.
func TestRefusedWritesAreShown(t *testing.T) {
	s := newServer(t, func(cfg *Config) {
		cfg.Refused = func() []Refused {
			return []Refused{{Redis: "cache", Message: "READONLY You can't write (redis-secret-word)",
				Since: time.Now()}}
		}
	})
	page := call(s, "GET", "/", "", asBrowser)
	wantBody(t, page, "Nothing can be written", "the cache&#39;s Redis refuses writes: READONLY")
	if n := strings.Count(page.Body.String(), "READONLY"); n != 1 {
		t.Errorf("said %d times", n)
	}
	wantBody(t, call(s, "GET", "/jobs/product", "", asBrowser), "Nothing can be written", "READONLY")
	api := call(s, "GET", "/api/v1/jobs", "")
	if n := strings.Count(api.Body.String(), `"of":"writes"`); n != 4 {
		t.Errorf("%d jobs say so: %s", n, api.Body)
	}
	if strings.Contains(page.Body.String()+api.Body.String(), "redis-secret-word") {
		t.Error("a secret is shown")
	}
}
