package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/storetest"
	"github.com/stokerhq/stoker/store/testserver"
)

// brisk is the usual pace but for what tests would wait for.
var brisk = pace{runs: 20 * time.Millisecond, refreshes: 10 * time.Millisecond, grace: 2 * time.Second,
	announce: 100 * time.Millisecond, handBack: 15 * time.Minute}

// serve starts a Server on the rig's queue, which ends with the test.
func (r *rig) serve(c Concurrency, p pace) *Server {
	r.t.Helper()
	o := r.queue.Options()
	s := newServer(r.w, client(r.t, fmt.Sprintf("redis://%s/%d", o.Addr, o.DB)), c, p)
	if err := s.Start(); err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(s.Shutdown)
	return s
}

func (r *rig) enqueue(task *asynq.Task, opts ...asynq.Option) *asynq.TaskInfo {
	r.t.Helper()
	info, err := asynq.NewClientFromRedisClient(r.queue).Enqueue(task, opts...)
	if err != nil {
		r.t.Fatal(err)
	}
	return info
}

func (r *rig) task(info *asynq.TaskInfo) *asynq.TaskInfo {
	r.t.Helper()
	now, err := asynq.NewInspectorFromRedisClient(r.queue).GetTaskInfo(info.Queue, info.ID)
	if err != nil {
		r.t.Fatal(err)
	}
	return now
}

// await waits for the task to come to a state, and returns it.
func (r *rig) await(info *asynq.TaskInfo, state asynq.TaskState, within time.Duration) *asynq.TaskInfo {
	r.t.Helper()
	var now *asynq.TaskInfo
	deadline := time.Now().Add(within)
	for now = r.task(info); now.State != state; now = r.task(info) {
		if time.Now().After(deadline) {
			r.t.Fatalf("not %s within %s: task %s is %s, retried %d, last error %q\n%s", state, within, now.ID,
				now.State, now.Retried, now.LastErr, r.logs)
		}
		time.Sleep(5 * time.Millisecond)
	}
	return now
}

func (r *rig) result(info *asynq.TaskInfo) (out store.RunResult) {
	r.t.Helper()
	if err := json.Unmarshal(info.Result, &out); err != nil {
		r.t.Fatalf("result %q: %v", info.Result, err)
	}
	return out
}

// running waits until a run of the job is amid its rows.
func (r *rig) running(job string) {
	r.t.Helper()
	eventually(r.t, 10*time.Second, "a run of "+job+" is going on", func() bool {
		p, ok, err := r.ledger.Live(context.Background(), job)
		return err == nil && ok && p.Rows > 0
	})
}

// slow is a job whose run takes that long, in rows wide enough to come one by
// one.
func slow(name string, d time.Duration) *jobs.Job {
	return newJob(name, jobs.ValueRow, name+":{id}",
		fmt.Sprintf("SELECT i AS id, repeat('x', 9000) AS pad, pg_sleep(0.02)::text AS s FROM generate_series(1, %d) i",
			d/(20*time.Millisecond)))
}

func quickly(name string) *jobs.Job {
	return newJob(name, jobs.ValueRow, name+":{id}", "SELECT generate_series(1, 3) AS id")
}

// Broken by: a tick that runs once a replica, a result that who waits cannot
// read, a wait that is not measured.
func TestTickRunsOnceInAnyNumberOfReplicas(t *testing.T) {
	t.Parallel()
	r := newRig(t, plan{jobs: []*jobs.Job{quickly("j")}})
	for range 2 {
		r.serve(Share(4), brisk)
	}
	due := time.Unix(1_700_000_000, 0)
	info := r.enqueue(jobs.NewTick("j", due, jobs.CauseTick))
	_, err := asynq.NewClientFromRedisClient(r.queue).Enqueue(jobs.NewTick("j", due, jobs.CauseTick))
	if !errors.Is(err, asynq.ErrTaskIDConflict) {
		t.Errorf("the same tick again: %v", err)
	}
	done := r.await(info, asynq.TaskStateCompleted, 5*time.Second)
	out := r.result(done)
	if out.Skipped != "" || out.Record.ID != "warm:j@1700000000" || out.Record.Keys != 3 ||
		out.Record.State != store.StateOK || !out.Record.Due.Equal(due) || out.Record.Cause != "tick" {
		t.Errorf("result %s", done.Result)
	}
	_, err = asynq.NewClientFromRedisClient(r.queue).Enqueue(jobs.NewTick("j", due, jobs.CauseTick))
	if !errors.Is(err, asynq.ErrTaskIDConflict) {
		t.Errorf("the same tick after its end: %v", err)
	}
	inv, err := jobs.NewInvalidation("j", jobs.Key{"id": "2"}, jobs.Key{"id": "4"})
	if err != nil {
		t.Fatal(err)
	}
	done = r.await(r.enqueue(inv), asynq.TaskStateCompleted, 5*time.Second)
	var refreshed Refreshed
	if err := json.Unmarshal(done.Result, &refreshed); err != nil || refreshed.Keys != 1 || refreshed.Job != "j" {
		t.Errorf("result %s, %v", done.Result, err)
	}
	if n := len(r.records("j")); n != 1 {
		t.Errorf("%d runs", n)
	}
	if holder, _, err := r.ledger.Holder(t.Context(), "j"); holder != "" || err != nil {
		t.Errorf("the lease is still with %q, %v", holder, err)
	}
}

// A tick that failed for good must not keep its name taken: a daemon that starts
// again, the query mended, makes it up. Broken by: an archived tick.
func TestTickThatFailedForGood(t *testing.T) {
	t.Parallel()
	r := newRig(t, plan{jobs: []*jobs.Job{newJob("broken", jobs.ValueRow, "b:{id}", "SELECT id FROM nowhere")}})
	r.serve(Share(4), brisk)
	due := time.Now()
	for n, cause := range []jobs.Cause{jobs.CauseTick, jobs.CauseCatchUp} {
		r.enqueue(jobs.NewTick("broken", due, cause)) // the second time, a conflict fails the test
		eventually(t, 5*time.Second, "the run is recorded", func() bool { return len(r.records("broken")) == n+1 })
		eventually(t, 5*time.Second, "the tick is gone", func() bool {
			q, err := asynq.NewInspectorFromRedisClient(r.queue).GetQueueInfo(jobs.QueueRun)
			return err == nil && q.Size == 0
		})
	}
	// A replica that is late enqueues the tick again: it is not run again.
	if got := r.result(r.await(r.enqueue(jobs.NewTick("broken", due, jobs.CauseTick)), asynq.TaskStateCompleted,
		5*time.Second)); got.Skipped == "" || len(r.records("broken")) != 2 {
		t.Errorf("a late replica's tick: %+v, %d runs", got, len(r.records("broken")))
	}
	if rec := r.records("broken")[0]; rec.State != store.StateFailed || !strings.Contains(rec.Error, "SQLSTATE 42P01") {
		t.Errorf("%+v", rec)
	}
}

// What no retry mends is archived at once, and says why. Broken by: a retry
// storm, or an error that does not name job, spec or payload.
func TestTasksThatCanNeverBeDone(t *testing.T) {
	t.Parallel()
	r := newRig(t, plan{jobs: []*jobs.Job{quickly("j"),
		newJob("broken", jobs.ValueRow, "b:{id}", "SELECT id FROM nowhere")}})
	atOnce := brisk
	atOnce.handBack = 0 // see TestTaskOfAnUnknownJobIsHandedBack
	r.serve(Share(4), atOnce)
	inv, err := jobs.NewInvalidation("gone", jobs.Key{"id": "2"})
	if err != nil {
		t.Fatal(err)
	}
	misfit, err := jobs.NewInvalidation("j", jobs.Key{"id": "two"})
	if err != nil {
		t.Fatal(err)
	}
	run, refresh := asynq.Queue(jobs.QueueRun), asynq.Queue(jobs.QueueRefresh)
	for _, tc := range []struct {
		task *asynq.Task
		to   asynq.Option
		want string
	}{
		{jobs.NewRun("gone", jobs.CauseAPI), run, `^job "gone" is not in stoker.yaml: this worker has an older or newer spec than who asked; give both the same file: skip retry for the task$`},
		{inv, refresh, `^job "gone" is not in stoker.yaml: this worker has`},
		{jobs.NewRun("broken", jobs.CauseCommand), run,
			`^query of job broken: relation "nowhere" does not exist \(SQLSTATE 42P01\) at line 1, column 16 of the query`},
		{misfit, refresh, `^job j: value "two" does not fit key column id of type integer`},
		{asynq.NewTask(jobs.TypeRun, []byte("garbage")), run, `^payload of a stoker:run task: invalid character`},
		{asynq.NewTask(jobs.TypeRun, []byte(`{"job":"j","cause":"api","sql":"DROP TABLE x"}`)), run,
			`^payload of a stoker:run task: json: unknown field "sql"`},
		{asynq.NewTask(jobs.TypeRefresh, nil), refresh, `^payload of a stoker:refresh task: EOF`},
		{asynq.NewTask("email:send", nil), run, `^task type "email:send" is not one of Stoker's on queue stoker-run`},
		{jobs.NewRun("j", jobs.CauseAPI), refresh,
			`^task type "stoker:run" is not one of Stoker's on queue stoker-refresh`},
	} {
		got := r.await(r.enqueue(tc.task, tc.to), asynq.TaskStateArchived, 5*time.Second)
		if got.Retried != 0 || !regexp.MustCompile(tc.want).MatchString(got.LastErr) {
			t.Errorf("retried %d, %s\nwant %s", got.Retried, got.LastErr, tc.want)
		}
	}
	time.Sleep(time.Second) // a storm would show in what the queues have processed
	for queue, want := range map[string]int{jobs.QueueRun: 5, jobs.QueueRefresh: 4} {
		q, err := asynq.NewInspectorFromRedisClient(r.queue).GetQueueInfo(queue)
		if err != nil || q.Processed != want || q.Failed != want || q.Archived != want ||
			q.Retry+q.Pending+q.Active != 0 {
			t.Errorf("%s: %+v, %v", queue, q, err)
		}
	}
	if len(r.records("gone")) != 0 || len(r.records("j")) != 0 {
		t.Error("something was run")
	}
}

// Broken by: a database that is away for a moment and costs more than seconds,
// or the task.
func TestDatabaseThatComesBackIsWaitedFor(t *testing.T) {
	t.Parallel()
	server := storetest.OwnPostgres(t)
	r := newRig(t, plan{pg: server.URL("postgres"), jobs: []*jobs.Job{quickly("j")}})
	server.Stop()
	r.serve(Share(4), brisk)
	run := r.enqueue(jobs.NewRun("j", jobs.CauseCommand))
	inv, err := jobs.NewInvalidation("j", jobs.Key{"id": "2"})
	if err != nil {
		t.Fatal(err)
	}
	refresh := r.enqueue(inv)
	for _, info := range []*asynq.TaskInfo{run, refresh} {
		info = r.await(info, asynq.TaskStateRetry, 5*time.Second)
		if !strings.Contains(info.LastErr, "connect to postgres") || strings.Contains(info.LastErr, "password") {
			t.Errorf("last error %s", info.LastErr)
		}
	}
	if err := server.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.await(refresh, asynq.TaskStateCompleted, 8*time.Second)
	r.await(run, asynq.TaskStateCompleted, 8*time.Second)
	if got := r.records("j"); len(got) < 2 || got[0].State != store.StateOK ||
		got[len(got)-1].State != store.StateFailed {
		t.Errorf("records %+v", got)
	}
	r.wantCache(`SELECT 'j:' || i, '{"id":' || i || '}' FROM generate_series(1, 3) i`)
}

// Broken by: refreshes and runs in one queue or with one pool of workers.
func TestLongRunDelaysNoRefresh(t *testing.T) {
	t.Parallel()
	r := newRig(t, plan{jobs: []*jobs.Job{slow("long", 4*time.Second), quickly("j")}})
	s := r.serve(Concurrency{Runs: 1, Refreshes: 1}, brisk)
	run := r.enqueue(jobs.NewRun("long", jobs.CauseCommand))
	r.running("long")
	for range 3 {
		inv, err := jobs.NewInvalidation("j", jobs.Key{"id": "2"})
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		r.await(r.enqueue(inv), asynq.TaskStateCompleted, 5*time.Second)
		if d := time.Since(start); d > 900*time.Millisecond {
			t.Errorf("a refresh needed %s", d)
		}
	}
	if now := r.task(run); now.State != asynq.TaskStateActive {
		t.Errorf("the run is %s: the test shows nothing", now.State)
	}
	s.Shutdown()
}

// A tick that comes while the last run is going is skipped; a run that is asked
// for comes after it, for it may have to show what the first one did not.
// Broken by: two runs of a job at once, a tick that piles up, a run that is
// dropped.
func TestRunsOfOneJobFollowOneAnother(t *testing.T) {
	t.Parallel()
	r := newRig(t, plan{jobs: []*jobs.Job{slow("j", 2500*time.Millisecond)}})
	r.serve(Concurrency{Runs: 4, Refreshes: 1}, brisk)
	first := r.enqueue(jobs.NewTick("j", time.Now(), jobs.CauseTick))
	r.running("j")
	tick := r.enqueue(jobs.NewTick("j", time.Now().Add(time.Second), jobs.CauseTick))
	asked := r.enqueue(jobs.NewRun("j", jobs.CauseCommand))
	last := r.enqueue(jobs.NewRun("j", jobs.CauseAPI), asynq.MaxRetry(0)) // Asynq would archive it for any error
	skipped := r.result(r.await(tick, asynq.TaskStateCompleted, 5*time.Second))
	if now := r.task(first); skipped.Skipped != "the last run is still going" || now.State != asynq.TaskStateActive {
		t.Errorf("tick: %+v, while the first run is %s", skipped, now.State)
	}
	var records []store.Record
	for _, info := range []*asynq.TaskInfo{first, asked, last} {
		done := r.await(info, asynq.TaskStateCompleted, 20*time.Second)
		if done.Retried != 0 {
			t.Errorf("waiting has used up %d retries", done.Retried)
		}
		records = append(records, r.result(done).Record)
	}
	for i, a := range records {
		for _, b := range records[:i] {
			if a.Start.Before(b.End) && b.Start.Before(a.End) {
				t.Errorf("at once: %+v and %+v", a, b)
			}
		}
	}
	tally, err := r.ledger.Tally(t.Context(), "j")
	if err != nil || tally.Skipped != 1 || r.metric("stoker_ticks_skipped_total") != 1 {
		t.Errorf("tally %+v, metric %v, %v", tally, r.metric("stoker_ticks_skipped_total"), err)
	}
	if n := len(r.records("j")); n != 3 {
		t.Errorf("%d records", n)
	}
}

// Broken by: ticks that were kept waiting and are run one after the other.
func TestTicksThatPiledUpAreRunOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t, plan{jobs: []*jobs.Job{quickly("j")}})
	var ticks []*asynq.TaskInfo
	for i := range 5 {
		ticks = append(ticks, r.enqueue(jobs.NewTick("j", time.Now().Add(time.Duration(i-5)*time.Minute),
			jobs.CauseTick)))
	}
	ticks = append(ticks, r.enqueue(jobs.NewTick("j", time.Now().Add(-7*time.Minute), jobs.CauseCatchUp)))
	later := r.enqueue(jobs.NewTick("j", time.Now().Add(time.Hour), jobs.CauseTick)) // no run covers it
	asked := r.enqueue(jobs.NewRun("j", jobs.CauseCommand))
	r.serve(Concurrency{Runs: 1, Refreshes: 1}, brisk)
	var done, covered int
	for _, info := range ticks {
		switch out := r.result(r.await(info, asynq.TaskStateCompleted, 5*time.Second)); out.Skipped {
		case "":
			done++
		case "a run that began after this tick was due has completed":
			covered++
		default:
			t.Errorf("skipped: %s", out.Skipped)
		}
	}
	if done != 1 || covered != 5 {
		t.Errorf("%d ticks were run, %d covered", done, covered)
	}
	for _, info := range []*asynq.TaskInfo{later, asked} {
		if out := r.result(r.await(info, asynq.TaskStateCompleted, 5*time.Second)); out.Skipped != "" {
			t.Errorf("skipped: %s", out.Skipped)
		}
	}
	if n := len(r.records("j")); n != 3 {
		t.Errorf("%d runs", n)
	}
}

// Broken by: a shutdown that waits for the run, loses the task or uses up one of
// its retries, leaves a connection or a lease behind, or removes good values.
func TestShutdownAmidARun(t *testing.T) {
	t.Parallel()
	j := slow("j", 3*time.Second)
	blocked := newJob("blocked", jobs.ValueRow, "b:{id}", "SELECT id FROM held")
	r := newRig(t, plan{sql: []string{"CREATE TABLE held AS SELECT generate_series(1, 3) AS id"},
		jobs: []*jobs.Job{j, blocked}})
	if err := r.redis.Set(t.Context(), "j:149", "good", 0).Err(); err != nil {
		t.Fatal(err)
	}
	unlock := r.lock("held")
	s := r.serve(Concurrency{Runs: 3, Refreshes: 2}, usual)
	run := r.enqueue(jobs.NewRun("j", jobs.CauseCommand))
	stuck := r.enqueue(jobs.NewRun("blocked", jobs.CauseCommand))
	inv, err := jobs.NewInvalidation("blocked", jobs.Key{"id": "2"})
	if err != nil {
		t.Fatal(err)
	}
	refresh := r.enqueue(inv)
	r.running("j")
	eventually(t, 5*time.Second, "all three are at work", func() bool { n, _ := r.sessions(); return n == 3 })

	start := time.Now()
	s.Shutdown()
	if d := time.Since(start); d > 3*time.Second {
		t.Errorf("shutdown took %s", d)
	}
	s.Shutdown() // a second one does nothing
	for _, info := range []*asynq.TaskInfo{run, stuck, refresh} {
		now := r.task(info)
		if now.State != asynq.TaskStateRetry && now.State != asynq.TaskStatePending || now.Retried != 0 {
			t.Errorf("task of %s is %s, retried %d, %s", now.Payload, now.State, now.Retried, now.LastErr)
		}
	}
	eventually(t, 5*time.Second, "the queries are cancelled", func() bool { n, _ := r.sessions(); return n == 0 })
	rec := r.records("j")[0]
	if rec.State != store.StateInterrupted || rec.Rows == 0 ||
		!regexp.MustCompile(`^after row \d+: the worker is stopping; the task goes back to the queue$`).MatchString(rec.Error) {
		t.Errorf("record %+v", rec)
	}
	if v, err := r.redis.Get(t.Context(), "j:149").Result(); v != "good" {
		t.Errorf("j:149 is %q, %v", v, err)
	}
	for _, job := range []string{"j", "blocked"} {
		if holder, _, err := r.ledger.Holder(t.Context(), job); holder != "" || err != nil {
			t.Errorf("the lease of %s is still with %q, %v", job, holder, err)
		}
	}
	if q, err := asynq.NewInspectorFromRedisClient(r.queue).GetQueueInfo(jobs.QueueRun); err != nil || q.Failed != 0 {
		t.Errorf("an interrupted run counts as failed: %+v, %v", q, err)
	}
	if tally, err := r.ledger.Tally(t.Context(), "blocked"); err != nil || tally.RefreshError != "" {
		t.Errorf("an interrupted refresh counts as failed: %+v, %v", tally, err)
	}

	// Another worker goes on where this one stopped.
	unlock()
	r.serve(Concurrency{Runs: 3, Refreshes: 2}, brisk)
	for _, info := range []*asynq.TaskInfo{run, stuck, refresh} {
		r.await(info, asynq.TaskStateCompleted, 15*time.Second)
	}
	if keys := r.texts(); len(keys) != 153 || keys["j:149"] == "good" {
		t.Errorf("%d keys, j:149 is %.20s", len(keys), keys["j:149"])
	}
	r.source.Close()
	// Postgres ends them a moment later
	eventually(t, 5*time.Second, "no connection is left", func() bool { _, total := r.sessions(); return total == 0 })
}

// Asynq may take one more task while it is being stopped. Broken by: work that
// is begun only to be cut short.
func TestNothingIsBegunWhileStopping(t *testing.T) {
	r := newRig(t, plan{})
	s := newServer(r.w, client(t, "redis://127.0.0.1:1/0"), Share(2), brisk)
	close(s.stop)
	err := s.handler(jobs.QueueRun, jobs.TypeRun, func(context.Context, *asynq.Task) error {
		t.Error("a task was begun")
		return nil
	}).ProcessTask(t.Context(), jobs.NewRun("j", jobs.CauseAPI))
	if !errors.Is(err, ErrStopping) {
		t.Errorf("got %v", err)
	}
}

// Asynq archives a task without retries left for any error, an interruption too.
// Broken by: an invalidation or an asked-for run that is lost with a deployment.
func TestShutdownAmidALastTry(t *testing.T) {
	t.Parallel()
	r := newRig(t, plan{jobs: []*jobs.Job{slow("j", 2*time.Second)}})
	short := brisk
	short.grace = 500 * time.Millisecond
	s := r.serve(Concurrency{Runs: 1, Refreshes: 1}, short)
	info := r.enqueue(jobs.NewRun("j", jobs.CauseCommand), asynq.MaxRetry(0))
	r.running("j")
	s.Shutdown()
	if now := r.task(info); now.State != asynq.TaskStatePending || now.Retried != 0 {
		t.Errorf("the task is %s, retried %d, %s", now.State, now.Retried, now.LastErr)
	}
	r.serve(Concurrency{Runs: 1, Refreshes: 1}, brisk)
	r.await(info, asynq.TaskStateCompleted, 10*time.Second)
}

// Broken by: a shutdown that first waits for Redis and only then ends what is
// in hand, so that the database works on for nobody.
func TestShutdownWhileRedisHangs(t *testing.T) {
	t.Parallel()
	server, err := testserver.StartRedis(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	r := newRig(t, plan{queue: server.URL(0), jobs: []*jobs.Job{slow("j", 20*time.Second)}})
	s := r.serve(Concurrency{Runs: 2, Refreshes: 1}, brisk)
	info := r.enqueue(jobs.NewRun("j", jobs.CauseCommand))
	r.running("j")
	if err := server.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	time.Sleep(200 * time.Millisecond) // until Asynq is amid a look into the queue
	down := make(chan struct{})
	go func() { s.Shutdown(); close(down) }()
	eventually(t, 2*time.Second, "the query is cancelled", func() bool { n, _ := r.sessions(); return n == 0 })
	if err := server.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	select {
	case <-down:
	case <-time.After(5 * time.Second):
		t.Fatal("still not down 5 s after Redis answers again")
	}
	if now := r.task(info); now.State != asynq.TaskStateRetry && now.State != asynq.TaskStatePending ||
		now.Retried != 0 {
		t.Errorf("the task is %s, retried %d, %s", now.State, now.Retried, now.LastErr)
	}
}

// A worker that was killed holds its job up until its lease lapses. Broken by: a
// tick that is skipped for the sake of a dead worker, a lease that is taken from
// a living one, a wait that never ends.
func TestLeaseOfADeadWorkerLapses(t *testing.T) {
	t.Parallel()
	r := newRig(t, plan{jobs: []*jobs.Job{quickly("j"), quickly("k")}})
	r.serve(Concurrency{Runs: 3, Refreshes: 1}, brisk)
	if ok, err := r.ledger.Lease(t.Context(), "j", "dead", leaseTTL); !ok || err != nil {
		t.Fatal(ok, err)
	}
	release, ok, err := r.w.acquireLease(t.Context(), "k", "alive")
	if !ok || err != nil {
		t.Fatal(ok, err)
	}
	defer release()
	start := time.Now()
	tick := r.enqueue(jobs.NewTick("j", time.Now().Add(time.Minute), jobs.CauseTick))
	other := r.enqueue(jobs.NewTick("k", time.Now().Add(time.Minute), jobs.CauseTick))
	if out := r.result(r.await(other, asynq.TaskStateCompleted, 5*time.Second)); out.Skipped == "" {
		t.Error("a tick was run beside a living worker's run")
	}
	out := r.result(r.await(tick, asynq.TaskStateCompleted, leaseTTL+2*time.Second))
	if out.Skipped != "" || out.Record.Keys != 3 {
		t.Errorf("the tick was not run: %+v", out)
	}
	if d := time.Since(start); d < leaseTTL-500*time.Millisecond || d > leaseTTL+time.Second {
		t.Errorf("run after %s", d)
	}
	time.Sleep(max(0, leaseTTL+time.Second-time.Since(start))) // the living one's must outlive its TTL
	if holder, _, err := r.ledger.Holder(t.Context(), "k"); !strings.HasPrefix(holder, "alive/") || err != nil {
		t.Errorf("the lease of a living worker is with %q, %v", holder, err)
	}
}

// A worker that stopped renewing without an end (its Redis was emptied) is told,
// does no harm, and does not take the lease from who has it now.
func TestLeaseThatIsLost(t *testing.T) {
	t.Parallel()
	r := newRig(t, plan{jobs: []*jobs.Job{quickly("j")}})
	release, ok, err := r.w.acquireLease(t.Context(), "j", "first")
	if !ok || err != nil {
		t.Fatal(ok, err)
	}
	if err := r.queue.FlushDB(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	second, ok, err := r.w.acquireLease(t.Context(), "j", "second")
	if !ok || err != nil {
		t.Fatal(ok, err)
	}
	eventually(t, 3*time.Second, "the loss is told",
		func() bool { return strings.Contains(r.logs.String(), "the lease of a run was lost") })
	release()
	if holder, _, err := r.ledger.Holder(t.Context(), "j"); !strings.HasPrefix(holder, "second/") || err != nil {
		t.Errorf("the lease is with %q, %v", holder, err)
	}
	second()
	if ok, err := r.ledger.Lease(t.Context(), "j", "dead", leaseTTL); !ok || err != nil { // nobody renews it
		t.Fatal(ok, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, ok, err := r.w.acquireLease(ctx, "j", "third"); ok || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("who gave up waiting got %v, %v", ok, err)
	}
}

// Broken by: queues that Asynq's tools no longer find after Redis lost its data.
func TestQueuesAreRegisteredAgain(t *testing.T) {
	t.Parallel()
	r := newRig(t, plan{jobs: []*jobs.Job{quickly("j")}})
	r.serve(Share(2), brisk)
	r.await(r.enqueue(jobs.NewRun("j", jobs.CauseAPI)), asynq.TaskStateCompleted, 5*time.Second)
	for range 2 {
		if err := r.queue.FlushDB(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
		eventually(t, 3*time.Second, "both queues are registered", func() bool {
			n, err := r.queue.SCard(context.Background(), "asynq:queues").Result()
			return err == nil && n == 2
		})
	}
	info := r.enqueue(jobs.NewRun("j", jobs.CauseAPI))
	r.await(info, asynq.TaskStateCompleted, 5*time.Second)
}

// Broken by: a queue whose Redis is full and that is asked thousands of times a
// second, which leaves neither Redis nor us time for anything else.
func TestFullRedisIsNotStormed(t *testing.T) {
	t.Parallel()
	server, err := testserver.StartRedis(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	r := newRig(t, plan{queue: server.URL(0), jobs: []*jobs.Job{quickly("j")}})
	r.serve(Share(4), brisk)
	limit := func(bytes string) {
		if err := r.queue.ConfigSet(t.Context(), "maxmemory", bytes).Err(); err != nil {
			t.Fatal(err)
		}
	}
	info := r.enqueue(jobs.NewRun("j", jobs.CauseAPI), asynq.ProcessIn(2*time.Second))
	limit("1")
	time.Sleep(1500 * time.Millisecond) // a span to count in
	stats, err := r.queue.Info(t.Context(), "errorstats").Result()
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`errorstat_OOM:count=(\d+)`).FindStringSubmatch(stats)
	if found == nil {
		t.Fatalf("Redis refused nothing: the test shows nothing\n%s", stats)
	}
	// Five a second for each of two queues, and what else Asynq writes.
	if n, err := strconv.Atoi(found[1]); err != nil || n > 60 {
		t.Errorf("refused %d times in 1.5 s, %v", n, err)
	}
	limit("0")
	r.await(info, asynq.TaskStateCompleted, 8*time.Second)
}

// A panic of one run must not take the worker, the lease or its writers along.
func TestPanicLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	r := newRig(t, plan{
		jobs:   []*jobs.Job{newJob("j", jobs.ValueRow, "p:{id}", "SELECT generate_series(1, 100000) AS id")},
		source: func(s Source) Source { return panicking{s} },
	})
	s := r.serve(Share(2), brisk)
	info := r.enqueue(jobs.NewRun("j", jobs.CauseAPI))
	if now := r.await(info, asynq.TaskStateRetry, 5*time.Second); !strings.Contains(now.LastErr, "panic") {
		t.Errorf("last error %s", now.LastErr)
	}
	if holder, _, err := r.ledger.Holder(t.Context(), "j"); holder != "" || err != nil {
		t.Errorf("the lease is still with %q, %v", holder, err)
	}
	s.Shutdown() // goleak, at the end of all tests, finds writers that wait for ever
}

type panicking struct{ Source }

func (p panicking) Run(ctx context.Context, j *jobs.Job, fn func(*store.Reading) error) error {
	return p.Source.Run(ctx, j, func(r *store.Reading) error {
		rows := r.Rows
		r.Rows = func(yield func(store.Row, error) bool) {
			n := 0
			rows(func(row store.Row, err error) bool {
				if n++; n == 1000 {
					time.Sleep(100 * time.Millisecond) // until the writers have nothing to do
					panic("amid rows")
				}
				return yield(row, err)
			})
		}
		return fn(r)
	})
}
