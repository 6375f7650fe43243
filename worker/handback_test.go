package worker

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
)

// old returns a rig of a replica that has not been deployed yet: it shares the servers and has other jobs.
func (r *rig) old(list ...*jobs.Job) *rig {
	r.t.Helper()
	old := *r
	old.metrics, old.logs, old.spec = prometheus.NewRegistry(), &logs{}, &jobs.Spec{File: "old.yaml", Jobs: list}
	log := slog.New(slog.NewTextHandler(old.logs, nil))
	old.w = old.newWorker(r.source, r.real, r.real, NewMetrics(old.metrics), log)
	return &old
}

// A deploy adds a job, and a replica of before takes its first task. Broken by: a task that is failed for
// good; one that uses up its retries; and one whose name is taken for good.
func TestTaskOfAnUnknownJobIsHandedBack(t *testing.T) {
	t.Parallel()
	inv, err := jobs.NewInvalidation("added", jobs.Key{"id": "2"})
	if err != nil {
		t.Fatal(err)
	}
	rescued := &asynq.TaskInfo{ID: "warm:added@1", Queue: jobs.QueueRun, Type: jobs.TypeRun,
		Payload: jobs.NewTick("added", time.Unix(1, 0), jobs.CauseTick).Payload()}
	removal, err := jobs.NewRemoval("added", jobs.Key{"id": "3"})
	if err != nil {
		t.Fatal(err)
	}
	due := time.Now().Add(-time.Minute)
	for name, task := range map[string]*asynq.Task{
		"a tick":                      jobs.NewTick("added", due, jobs.CauseTick),
		"a catch-up":                  jobs.NewTick("added", time.Unix(0, 0), jobs.CauseCatchUp),
		"an epoch":                    jobs.NewEpochRun("added", 7),
		"a rescue":                    jobs.NewRescue(rescued),
		"a change":                    jobs.NewChangeRun("added"),
		"a command":                   jobs.NewRun("added", jobs.CauseCommand),
		"an invalidation":             inv,
		"the removal of a key":        removal,
		"the removal of all its keys": jobs.NewKeysetRemoval("added", jobs.CauseAPI),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, plan{jobs: []*jobs.Job{quickly("added"), quickly("kept")}})
			old := r.old(quickly("kept"), quickly("removed"))
			before := old.serve(Share(4), brisk)
			info := r.enqueue(task)
			first := r.await(info, asynq.TaskStateRetry, 20*time.Second)
			if first.Retried != 0 || !strings.Contains(first.LastErr, `job "added" is not in old.yaml`) ||
				!strings.HasSuffix(first.LastErr, jobs.HandedBack) {
				t.Errorf("retried %d, %s", first.Retried, first.LastErr)
			}
			r.serve(Share(4), brisk) // the new replica comes
			done := r.await(info, asynq.TaskStateCompleted, 30*time.Second)
			if info.Queue == jobs.QueueRun && r.result(done).Record.State != store.StateOK {
				t.Errorf("result %s", done.Result)
			}
			before.Shutdown()
			if got := old.logs.String(); !strings.Contains(got, "handed back for others") ||
				strings.Count(got, "handed back for others") != 1 {
				t.Errorf("the old replica logged %s", got)
			}
			if n := old.metric("stoker_tasks_handed_back_total"); n < 1 {
				t.Errorf("%v tasks were counted", n)
			}
		})
	}
}

// No worker knows the job: it was removed, or renamed. Or a newer version has made the task. Broken by: a task
// that is handed back for ever; a name that is not free afterwards; an end without a reason.
func TestTaskThatNoWorkerCanDoIsGivenUp(t *testing.T) {
	t.Parallel()
	r := newRig(t, plan{jobs: []*jobs.Job{quickly("kept")}})
	short := brisk
	short.handBack = 1500 * time.Millisecond
	r.serve(Share(4), short)
	newer := func(typ, payload string, opts ...asynq.Option) *asynq.Task {
		return asynq.NewTask(typ, []byte(payload), append(opts, asynq.MaxRetry(3), asynq.Retention(time.Minute))...)
	}
	run, refresh := asynq.Queue(jobs.QueueRun), asynq.Queue(jobs.QueueRefresh)
	for n, test := range []struct {
		task  *asynq.Task
		fixed bool
		why   string
	}{
		{jobs.NewTick("removed", time.Now(), jobs.CauseTick), true, `job "removed" is not in stoker.yaml`},
		{jobs.NewTick("removed", time.Unix(0, 0), jobs.CauseCatchUp), true, `job "removed" is not in`},
		{jobs.NewEpochRun("renamed", 7), true, `job "renamed" is not in`},
		{jobs.NewRun("removed", jobs.CauseCommand), false, `job "removed" is not in`},
		{newer(jobs.TypeRun, `{"job":"kept","cause":"moon"}`, run, asynq.TaskID("warm:kept@5")), true,
			`unknown cause "moon"`},
		{newer(jobs.TypeRun, `{"v":2,"jobs":["kept"]}`, run), false, `unknown field "v"`},
		{newer(jobs.TypeRefresh, `{"job":"kept","keys":[{"id":"1"}],"where":"x"}`, refresh), false, `unknown field "where"`},
		{newer("stoker:retire", `{}`, run, asynq.TaskID("epoch:kept@9")), true, `task type "stoker:retire"`},
	} {
		t.Run(fmt.Sprint(n, test.why), func(t *testing.T) {
			t.Parallel()
			r := *r
			r.t = t
			info := r.enqueue(test.task)
			inspector := asynq.NewInspectorFromRedisClient(r.queue)
			if got := r.await(info, asynq.TaskStateRetry, 20*time.Second); !strings.Contains(got.LastErr, test.why) {
				t.Errorf("waits because of %q", got.LastErr)
			}
			if test.fixed {
				eventually(t, 30*time.Second, "its name is free", func() bool {
					_, err := inspector.GetTaskInfo(info.Queue, info.ID)
					return err != nil
				})
				r.enqueue(test.task, asynq.ProcessIn(time.Hour))
			} else if end := r.await(info, asynq.TaskStateArchived, 30*time.Second); !strings.Contains(end.LastErr,
				test.why) {
				t.Errorf("archived because of %q", end.LastErr)
			}
			eventually(t, 5*time.Second, "it is logged", func() bool {
				return strings.Contains(r.logs.String(), `level=ERROR msg="no worker could do a task; it is given up. Run `+
					`the same version and the same spec everywhere" task_id=`+info.ID)
			})
		})
	}
	t.Cleanup(func() {
		if n := r.metric("stoker_tasks_freed_total"); n != 8 {
			t.Errorf("%v tasks were counted as given up", n)
		}
	})
}

// A task of a newer version reaches the newer worker, also if its last retry fell to the older one. Broken by:
// Asynq, which archives a task without a retry left for any error.
func TestTaskOfANewerVersion(t *testing.T) {
	t.Parallel()
	r := newRig(t, plan{jobs: []*jobs.Job{quickly("kept")}})
	r.serve(Share(4), brisk)
	for _, retries := range []int{0, 3} {
		var done atomic.Int64
		info := r.enqueue(asynq.NewTask(jobs.TypeRun, []byte(`{"v":2}`), asynq.Queue(jobs.QueueRun),
			asynq.MaxRetry(retries), asynq.TaskID(fmt.Sprintf("warm:kept@%d", retries)), asynq.Retention(time.Minute)))
		eventually(t, 20*time.Second, "it is handed back", func() bool {
			now, err := jobs.FindTask(asynq.NewInspectorFromRedisClient(r.queue), info.Queue, info.ID)
			return err == nil && (now.State == asynq.TaskStateRetry || now.State == asynq.TaskStateScheduled)
		})
		newer := asynq.NewServerFromRedisClient(client(t, "redis://"+r.queue.Options().Addr+
			fmt.Sprintf("/%d", r.queue.Options().DB)), asynq.Config{Queues: map[string]int{jobs.QueueRun: 1},
			TaskCheckInterval: 5 * time.Millisecond, DelayedTaskCheckInterval: time.Second, LogLevel: asynq.FatalLevel})
		err := newer.Start(asynq.HandlerFunc(func(context.Context, *asynq.Task) error { done.Add(1); return nil }))
		if err != nil {
			t.Fatal(err)
		}
		eventually(t, 60*time.Second, "the newer worker has done it", func() bool {
			now, err := jobs.FindTask(asynq.NewInspectorFromRedisClient(r.queue), info.Queue, info.ID)
			return err == nil && now.State == asynq.TaskStateCompleted
		})
		newer.Shutdown()
		if n := done.Load(); n != 1 {
			t.Errorf("it was done %d times", n)
		}
	}
}
