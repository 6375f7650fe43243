package queue_test

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store/queue"
	"github.com/stokerhq/stoker/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

// rig is Asynq on a real Redis.
type rig struct {
	t         *testing.T
	c         *redis.Client
	queues    *queue.Queues
	client    *asynq.Client
	inspector *asynq.Inspector
}

func newRig(t *testing.T) *rig {
	o, err := redis.ParseURL(storetest.Redis(t))
	if err != nil {
		t.Fatal(err)
	}
	c := redis.NewClient(o)
	t.Cleanup(func() { c.Close() })
	return &rig{t, c, queue.New(c), asynq.NewClientFromRedisClient(c), asynq.NewInspectorFromRedisClient(c)}
}

const run = jobs.QueueRun

var due = time.Unix(1_700_000_000, 0)

func (r *rig) key(kind string) string { return "asynq:{" + run + "}:" + kind }

func (r *rig) enqueue(opts ...asynq.Option) string {
	r.t.Helper()
	info, err := r.client.Enqueue(jobs.NewTick("j", due, jobs.CauseTick), opts...)
	if err != nil {
		r.t.Fatal(err)
	}
	return info.ID
}

// take has a worker take the task; handle is what it does. The worker ends with the test.
func (r *rig) take(handle asynq.HandlerFunc) {
	r.t.Helper()
	s := asynq.NewServerFromRedisClient(r.c, asynq.Config{Queues: map[string]int{run: 1}, Concurrency: 1,
		TaskCheckInterval: 10 * time.Millisecond, ShutdownTimeout: 10 * time.Millisecond, LogLevel: asynq.FatalLevel})
	if err := s.Start(handle); err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(s.Shutdown)
}

func (r *rig) eventually(what string, try func() bool) {
	r.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if try() {
			return
		}
	}
	r.t.Fatal("not in time: " + what)
}

// hold has a worker take the task and keep it until the test ends.
func (r *rig) hold() {
	r.t.Helper()
	r.take(func(ctx context.Context, _ *asynq.Task) error { <-ctx.Done(); return nil })
	r.eventually("the task is taken", func() bool { return r.c.LLen(r.t.Context(), r.key("active")).Val() == 1 })
}

func (r *rig) state(id string) string {
	info, err := r.inspector.GetTaskInfo(run, id)
	if err != nil {
		return err.Error()
	}
	return info.State.String()
}

// Broken by: a name that stays taken by a task that no worker will be given; and by a task that waits, is in
// hand, or is kept on purpose, and goes.
func TestRelease(t *testing.T) {
	del := func(kinds ...string) func(*rig) {
		return func(r *rig) {
			for _, kind := range kinds {
				r.c.Del(r.t.Context(), r.key(kind))
			}
		}
	}
	end := func(err error) func(*rig) {
		return func(r *rig) {
			r.take(func(context.Context, *asynq.Task) error { return err })
			id := jobs.TickID("j", due)
			r.eventually("the task ends", func() bool {
				return !slices.Contains([]string{"pending", "active"}, r.state(id))
			})
		}
	}
	rescue := func(o asynq.Option) func(*rig) {
		return func(r *rig) {
			info, err := r.inspector.GetTaskInfo(run, jobs.TickID("j", due))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := r.client.Enqueue(jobs.NewRescue(info), o); err != nil {
				t.Fatal(err)
			}
		}
	}
	both := func(a, b func(*rig)) func(*rig) { return func(r *rig) { a(r); b(r) } }
	later, archived, completed := asynq.ProcessIn(time.Hour), asynq.TaskStateArchived, asynq.TaskStateCompleted
	for name, test := range map[string]struct {
		option asynq.Option
		then   func(*rig)
		states []asynq.TaskState
		want   bool
	}{
		"pending":           {nil, nil, []asynq.TaskState{archived, completed}, false},
		"scheduled":         {later, nil, []asynq.TaskState{archived, completed}, false},
		"in hand":           {nil, (*rig).hold, []asynq.TaskState{archived, completed}, false},
		"to be tried again": {nil, end(context.DeadlineExceeded), []asynq.TaskState{archived, completed}, false},
		"archived":          {nil, end(asynq.SkipRetry), []asynq.TaskState{archived}, true},
		"archived, kept":    {nil, end(asynq.SkipRetry), nil, false},
		"completed":         {nil, end(nil), []asynq.TaskState{archived, completed}, true},
		"completed, kept":   {nil, end(nil), []asynq.TaskState{archived}, false},
		"archived, and its rescue waits": {nil, both(end(asynq.SkipRetry), rescue(asynq.ProcessIn(time.Hour))),
			[]asynq.TaskState{archived}, false},
		"archived, and its rescue is a ghost": {nil, both(end(asynq.SkipRetry),
			both(rescue(asynq.ProcessIn(time.Hour)), del("scheduled"))), []asynq.TaskState{archived}, true},
		"gone":                     {nil, func(r *rig) { r.c.FlushDB(r.t.Context()) }, nil, true},
		"the pending list is lost": {nil, del("pending"), nil, true},
		"the schedule is lost":     {later, del("scheduled"), nil, true},
		"in hand, no lease":        {nil, both((*rig).hold, del("lease")), nil, true},
		"in hand, no list":         {nil, both((*rig).hold, del("active")), nil, true},
		"the retries are lost":     {nil, both(end(context.DeadlineExceeded), del("retry")), nil, true},
		"the archive is lost":      {nil, both(end(asynq.SkipRetry), del("archived")), nil, true},
		"the completed are lost":   {nil, both(end(nil), del("completed")), nil, true},
		"no state": {nil, func(r *rig) {
			r.c.HDel(r.t.Context(), r.key("t:"+jobs.TickID("j", due)), "state")
		}, nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			var opts []asynq.Option
			if test.option != nil {
				opts = append(opts, test.option)
			}
			id := r.enqueue(opts...)
			if test.then != nil {
				test.then(r)
			}
			before := r.state(id)
			free, err := r.queues.Release(t.Context(), run, id, test.states...)
			if err != nil || free != test.want {
				t.Errorf("free: %t, %v", free, err)
			}
			if after := r.state(id); !free && after != before {
				t.Errorf("%s became %s", before, after)
			}
			if _, err := r.client.Enqueue(jobs.NewTick("j", due, jobs.CauseTick)); (err == nil) != test.want {
				t.Errorf("the name again: %v", err)
			}
		})
	}
}

// Broken by: an orphan that is not seen, or that stays; one whose worker lives and that is taken from it; an
// archive that does not say why.
func TestOrphans(t *testing.T) {
	lapsed := func(ago time.Duration) func(*rig, string) {
		return func(r *rig, id string) {
			r.c.ZAdd(r.t.Context(), r.key("lease"), redis.Z{Score: float64(time.Now().Add(-ago).Unix()), Member: id})
		}
	}
	for name, test := range map[string]struct {
		then   func(*rig, string)
		orphan bool
		state  string
	}{
		"leased":          {func(*rig, string) {}, false, "active"},
		"lapsed a moment": {lapsed(2 * time.Second), false, "active"},
		"lapsed for long": {lapsed(20 * time.Second), true, "archived"},
		"without a lease": {func(r *rig, _ string) { r.c.Del(r.t.Context(), r.key("lease")) }, true, "archived"},
		"nothing but an ID": {func(r *rig, id string) { r.c.Del(r.t.Context(), r.key("lease"), r.key("t:"+id)) }, true,
			"asynq: task not found"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			id := r.enqueue()
			r.hold()
			test.then(r, id)
			ids, err := r.queues.Orphans(t.Context(), run)
			if want := []string{id}; err != nil || test.orphan != slices.Equal(ids, want) {
				t.Errorf("orphans %q, %v", ids, err)
			}
			done, err := r.queues.Archive(t.Context(), run, id, "its worker is gone")
			if err != nil || done != test.orphan {
				t.Errorf("archived: %t, %v", done, err)
			}
			if got := r.state(id); got != test.state {
				t.Errorf("%s, want %s", got, test.state)
			}
			if n := r.c.LLen(t.Context(), r.key("active")).Val(); (n == 0) != test.orphan {
				t.Errorf("%d tasks are in hand", n)
			}
			if test.state != "archived" {
				return
			}
			list, err := r.inspector.ListArchivedTasks(run)
			if err != nil || len(list) != 1 || list[0].LastErr != "its worker is gone" ||
				list[0].Type != jobs.TypeRun || !json.Valid(list[0].Payload) ||
				time.Since(list[0].LastFailedAt) > time.Minute {
				t.Errorf("%+v, %v", list, err)
			}
			if again, err := r.queues.Archive(t.Context(), run, id, "twice"); again || err != nil {
				t.Errorf("archived again: %t, %v", again, err)
			}
		})
	}
}

func TestPaused(t *testing.T) {
	r := newRig(t)
	r.enqueue()
	if got, err := r.queues.Paused(t.Context()); len(got) != 0 || err != nil {
		t.Errorf("%v, %v", got, err)
	}
	for _, name := range jobs.Queues {
		if err := r.inspector.PauseQueue(name); err != nil {
			t.Fatal(err)
		}
	}
	got, err := r.queues.Paused(t.Context())
	if err != nil || len(got) != 2 || got[1].Queue != jobs.QueueRefresh || time.Since(got[0].Since) > time.Minute ||
		!strings.Contains(got[0].String(), "stoker resume") {
		t.Errorf("%v, %v", got, err)
	}
	if err := r.queues.Resume(t.Context(), run); err != nil {
		t.Fatal(err)
	}
	if got, err = r.queues.Paused(t.Context()); err != nil || len(got) != 1 || got[0].Queue != jobs.QueueRefresh {
		t.Errorf("%v, %v", got, err)
	}
	r.c.Set(t.Context(), r.key("paused"), "by hand", 0)
	if got, err = r.queues.Paused(t.Context()); err != nil || len(got) != 2 || !got[0].Since.IsZero() {
		t.Errorf("%v, %v", got, err)
	}
}

// Broken by: a count that begins again each time, or that goes on for another task of the name.
func TestHandedBack(t *testing.T) {
	r := newRig(t)
	for want := range int64(3) {
		n, since, err := r.queues.HandedBack(t.Context(), run, "x", due)
		if err != nil || n != want+1 || since > 10*time.Second || (want == 2) != (since >= 20*time.Millisecond) {
			t.Errorf("%d, %s, %v", n, since, err)
		}
		time.Sleep(time.Duration(want) * 20 * time.Millisecond)
	}
	if n, _, err := r.queues.HandedBack(t.Context(), run, "x", due.Add(time.Second)); n != 1 || err != nil {
		t.Errorf("another task of the name: %d, %v", n, err)
	}
	if ttl := r.c.TTL(t.Context(), "stoker:handback:stoker-run:x@1700000000000").Val(); ttl <= 0 {
		t.Errorf("the count is kept for %s", ttl)
	}
}

// Broken by: the size of a queue, which has what is kept after its end.
func TestPending(t *testing.T) {
	r := newRig(t)
	pending := func(want int64) {
		t.Helper()
		if n, err := r.queues.Pending(t.Context(), run); err != nil || n != want {
			t.Errorf("%d tasks wait, want %d (%v)", n, want, err)
		}
	}
	pending(0)
	r.enqueue()
	r.enqueue(asynq.TaskID("later"), asynq.ProcessIn(time.Hour))
	pending(1)
	r.take(func(context.Context, *asynq.Task) error { return nil })
	r.eventually("the task is kept after its end",
		func() bool { return r.c.ZCard(t.Context(), r.key("completed")).Val() == 1 })
	pending(0)
	if info, err := r.inspector.GetQueueInfo(run); err != nil || info.Size != 2 {
		t.Errorf("the size is %+v, %v: the test shows nothing", info, err)
	}
}
