package scheduler_test

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/scheduler"
	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/ledger"
	asynqueue "github.com/stokerhq/stoker/store/queue"
	"github.com/stokerhq/stoker/store/storetest"
)

// asynqRig is a scheduler on Asynq and a ledger in a real Redis.
type asynqRig struct {
	t         *testing.T
	c         *redis.Client
	ledger    *ledger.Ledger
	client    *asynq.Client
	inspector *asynq.Inspector
}

func newAsynqRig(t *testing.T) *asynqRig {
	o, err := redis.ParseURL(storetest.Redis(t))
	if err != nil {
		t.Fatal(err)
	}
	c := redis.NewClient(o)
	t.Cleanup(func() { c.Close() })
	return &asynqRig{t, c, ledger.New(c), asynq.NewClientFromRedisClient(c), asynq.NewInspectorFromRedisClient(c)}
}

// schedule runs a scheduler until the test ends.
func (r *asynqRig) schedule(e scheduler.Epochs, list ...*jobs.Job) {
	r.t.Helper()
	s := scheduler.New(scheduler.Config{Jobs: list, Queue: r.client, Tasks: r.inspector, Repairs: asynqueue.New(r.c),
		Ledger: r.ledger, Epochs: e, Metrics: scheduler.NewMetrics(prometheus.NewRegistry()),
		Log: slog.New(slog.DiscardHandler)})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); s.Run(ctx) }()
	r.t.Cleanup(func() { cancel(); <-done })
}

// work has a worker take tasks, as handle says, until the returned function is called.
func (r *asynqRig) work(handle asynq.HandlerFunc) (stop func()) {
	r.t.Helper()
	s := asynq.NewServerFromRedisClient(r.c, asynq.Config{
		Queues: map[string]int{jobs.QueueRun: 1, jobs.QueueRefresh: 1}, TaskCheckInterval: 10 * time.Millisecond,
		ShutdownTimeout: 10 * time.Millisecond, LogLevel: asynq.FatalLevel})
	if err := s.Start(handle); err != nil {
		r.t.Fatal(err)
	}
	return s.Shutdown
}

func (r *asynqRig) state(queue, id string) string {
	info, err := r.inspector.GetTaskInfo(queue, id)
	if err != nil {
		return err.Error()
	}
	return info.State.String()
}

func (r *asynqRig) eventually(limit time.Duration, what string, try func() bool) {
	r.t.Helper()
	for deadline := time.Now().Add(limit); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if try() {
			return
		}
	}
	r.t.Fatalf("not within %s: %s", limit, what)
}

func (r *asynqRig) key(kind string) string { return "asynq:{" + jobs.QueueRun + "}:" + kind }

// has reports whether a list of the queue of runs has the task.
func (r *asynqRig) has(list, id string) bool {
	return slices.Contains(r.c.LRange(r.t.Context(), r.key(list), 0, -1).Val(), id)
}

// blockers are the ways in which a task of a name can end without having done what the name stands for.
var blockers = map[string]func(r *asynqRig, id string){
	"archived": func(r *asynqRig, id string) {
		stop := r.work(func(context.Context, *asynq.Task) error { return asynq.SkipRetry })
		defer stop()
		r.eventually(20*time.Second, "it is archived", func() bool { return r.state(jobs.QueueRun, id) == "archived" })
	},
	"completed without a run": func(r *asynqRig, id string) {
		stop := r.work(func(context.Context, *asynq.Task) error { return nil })
		defer stop()
		r.eventually(20*time.Second, "it has ended", func() bool { return r.state(jobs.QueueRun, id) == "completed" })
	},
	"lost from the queue": func(r *asynqRig, _ string) { r.c.Del(r.t.Context(), r.key("pending")) },
	"in hand, without a lease": func(r *asynqRig, _ string) {
		r.c.LMove(r.t.Context(), r.key("pending"), r.key("active"), "RIGHT", "LEFT")
		for _, id := range r.c.LRange(r.t.Context(), r.key("active"), 0, -1).Val() {
			r.c.HSet(r.t.Context(), r.key("t:"+id), "state", "active")
		}
	},
}

// Broken by: a name that an ended, archived or orphaned task keeps taken, so that the job never runs, whatever is
// started again.
func TestNoNameIsBlocked(t *testing.T) {
	for name, test := range map[string]struct {
		job  *jobs.Job
		e    scheduler.Epochs
		task func(*jobs.Job) *asynq.Task
		id   func(*jobs.Job) string
	}{
		"catch-up of a job on demand": {job(t, "j", "", ""), noEpoch{},
			func(j *jobs.Job) *asynq.Task { return jobs.NewTick(j.Name, time.Unix(0, 0), jobs.CauseCatchUp) },
			func(j *jobs.Job) string { return jobs.TickID(j.Name, time.Unix(0, 0)) }},
		"catch-up of a tick": {job(t, "j", "0 0 1 1 *", "UTC"), noEpoch{},
			func(j *jobs.Job) *asynq.Task {
				due, _ := j.Schedule.Prev(time.Now())
				return jobs.NewTick(j.Name, due, jobs.CauseTick)
			},
			func(j *jobs.Job) string { due, _ := j.Schedule.Prev(time.Now()); return jobs.TickID(j.Name, due) }},
		"an epoch": {job(t, "ran", "", ""), fixedEpoch(7),
			func(j *jobs.Job) *asynq.Task { return jobs.NewEpochRun(j.Name, 7) },
			func(j *jobs.Job) string { return jobs.EpochID(j.Name, 7) }},
	} {
		for how, block := range blockers {
			t.Run(name+", "+how, func(t *testing.T) {
				t.Parallel()
				r := newAsynqRig(t)
				if test.job.Name == "ran" {
					rec := store.Record{Job: "ran", State: store.StateOK, Epoch: 3, Start: time.Now()}
					if err := r.ledger.Add(t.Context(), rec); err != nil {
						t.Fatal(err)
					}
				}
				if _, err := r.client.Enqueue(test.task(test.job)); err != nil {
					t.Fatal(err)
				}
				id := test.id(test.job)
				block(r, id)
				r.schedule(test.e, test.job)
				r.eventually(20*time.Second, "it is enqueued again", func() bool {
					return r.state(jobs.QueueRun, id) == "pending" && r.has("pending", id)
				})
			})
		}
	}
}

// fixedEpoch is a cache in an epoch that began a history.
type fixedEpoch uint32

func (e fixedEpoch) Epoch(context.Context) (now, history uint32, err error) {
	return uint32(e), uint32(e), nil
}

// A tick whose name a task in hand, or a completed one, has is not enqueued again. Broken by: making room for it.
func TestTickThatIsDoneKeepsItsName(t *testing.T) {
	t.Parallel()
	r := newAsynqRig(t)
	var ran atomic.Int64
	defer r.work(func(context.Context, *asynq.Task) error { ran.Add(1); return nil })()
	j := job(t, "j", "@every 1s", "")
	if err := r.ledger.Add(t.Context(), store.Record{Job: "j", State: store.StateOK, Start: time.Now()}); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		r.schedule(noEpoch{}, j)
	}
	time.Sleep(5 * time.Second)
	if n := ran.Load(); n < 3 || n > 6 {
		t.Errorf("three replicas ran %d ticks in 5 seconds", n)
	}
}

// A worker has lost a task: its lease is gone, or has lapsed. Broken by: an orphan that is handed out again and
// again, and empties the keyset each time; one that stays in hand for good; a rescue whose name a ghost has.
func TestOrphanIsHandedOutOnce(t *testing.T) {
	for name, test := range map[string]struct {
		orphan func(r *asynqRig, id string)
		rescue bool
	}{
		"without a lease": {func(r *asynqRig, _ string) { r.c.Del(r.t.Context(), r.key("lease")) }, true},
		"the lease has lapsed": {func(r *asynqRig, id string) {
			r.c.ZAdd(r.t.Context(), r.key("lease"), redis.Z{Member: id, Score: float64(time.Now().Unix() - 25)})
		}, true},
		"and its rescue is a ghost": {func(r *asynqRig, id string) {
			r.c.Del(r.t.Context(), r.key("lease"))
			r.c.HSet(r.t.Context(), r.key("t:"+jobs.RescueID(id)), "state", "pending", "msg", "x")
		}, true},
		"of another version": {func(r *asynqRig, id string) {
			r.c.Del(r.t.Context(), r.key("lease"))
			msg := r.c.HGet(r.t.Context(), r.key("t:"+id), "msg").Val()
			r.c.HSet(r.t.Context(), r.key("t:"+id), "msg", strings.Replace(msg, `"remove"`, `"remowe"`, 1))
		}, true},
		"and nothing is left of it": {func(r *asynqRig, id string) {
			r.c.Del(r.t.Context(), r.key("lease"), r.key("t:"+id))
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newAsynqRig(t)
			info, err := r.client.Enqueue(jobs.NewKeysetRemoval("j", jobs.CauseAPI))
			if err != nil {
				t.Fatal(err)
			}
			stop := r.work(func(ctx context.Context, _ *asynq.Task) error { <-ctx.Done(); return ctx.Err() })
			r.eventually(20*time.Second, "it is in hand", func() bool { return r.has("active", info.ID) })
			// the worker is killed: what it would do at its end does not come about
			state := r.c.HGetAll(t.Context(), r.key("t:"+info.ID)).Val()
			stop()
			for _, kind := range []string{"pending", "retry", "active"} {
				r.c.Del(t.Context(), r.key(kind))
			}
			r.c.LPush(t.Context(), r.key("active"), info.ID)
			r.c.HSet(t.Context(), r.key("t:"+info.ID), state)
			test.orphan(r, info.ID)

			r.schedule(noEpoch{})
			r.eventually(30*time.Second, "it is not in hand any more", func() bool { return !r.has("active", info.ID) })
			rescue := jobs.RescueID(info.ID)
			if got := r.has("pending", rescue); got != test.rescue {
				t.Errorf("it was handed out again: %t", got)
			}
			if !test.rescue {
				return
			}
			now, err := r.inspector.GetTaskInfo(jobs.QueueRun, info.ID)
			if err != nil || now.State != asynq.TaskStateArchived ||
				!strings.Contains(now.LastErr, "handed out again as "+rescue) {
				t.Errorf("%+v, %v", now, err)
			}
			// as if it were done, and its retention over
			if err := r.inspector.DeleteTask(jobs.QueueRun, rescue); err != nil {
				t.Fatal(err)
			}
			time.Sleep(7 * time.Second)
			if n, err := r.inspector.GetQueueInfo(jobs.QueueRun); err != nil || n.Pending+n.Active+n.Retry > 0 {
				t.Errorf("handed out again: %+v, %v", n, err)
			}
		})
	}
}
