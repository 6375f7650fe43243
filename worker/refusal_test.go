package worker

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/storetest"
	"github.com/stokerhq/stoker/worker/debt"
)

// waysToRefuse are ways to have a Redis refuse writes, and back.
var waysToRefuse = map[string]struct{ on, off []any }{
	"NOREPLICAS": {[]any{"config", "set", "min-replicas-to-write", "1"}, []any{"config", "set", "min-replicas-to-write",
		"0"}},
	"READONLY": {[]any{"replicaof", "127.0.0.1", "1"}, []any{"replicaof", "no", "one"}},
	"NOPERM":   {[]any{"acl", "setuser", "default", "-@write"}, []any{"acl", "setuser", "default", "+@all"}},
	"OOM":      {[]any{"config", "set", "maxmemory", "1"}, []any{"config", "set", "maxmemory", "0"}},
}

func command(t *testing.T, c *redis.Client, args ...any) {
	t.Helper()
	if err := c.Do(context.Background(), args...).Err(); err != nil {
		t.Fatalf("%v: %v", args, err)
	}
}

// itemRig has a cache that no other test uses.
func itemRig(t *testing.T, source func(Source) Source) *rig {
	j := newJob("j", jobs.ValueRow, "item:{id}", "SELECT id, v FROM item")
	return newRig(t, plan{redis: storetest.OwnRedis(t).URL(0), jobs: []*jobs.Job{j}, source: source,
		sql: []string{"CREATE TABLE item (id int PRIMARY KEY, v int)",
			"INSERT INTO item SELECT i, 1 FROM generate_series(1, 10) i"}})
}

const itemWant = `SELECT 'item:' || id, '{"id":' || id || ',"v":' || v || '}' FROM item`

// countingSource counts what is asked of Postgres.
type countingSource struct {
	Source
	reads *int
}

func (s countingSource) Refresh(ctx context.Context, job *jobs.Job, keys []jobs.Key,
	fn func(*store.Reading) error) error {
	*s.reads++
	return s.Source.Refresh(ctx, job, keys, fn)
}

func (s countingSource) Run(ctx context.Context, job *jobs.Job, fn func(*store.Reading) error) error {
	*s.reads++
	return s.Source.Run(ctx, job, fn)
}

// An invalidation that Redis refuses says so in Redis' words, at once, and with what to do; and a worker does it as
// soon as writes are taken again. Broken by: a gate that does not open, or one that lets every try read the database.
func TestRefusedRefresh(t *testing.T) {
	t.Parallel()
	for code, how := range waysToRefuse {
		t.Run(code, func(t *testing.T) {
			t.Parallel()
			reads := 0
			r := itemRig(t, func(s Source) Source { return countingSource{s, &reads} })
			j := r.spec.Jobs[0]
			r.run("j")
			r.exec("UPDATE item SET v = 2 WHERE id = 1")
			command(t, r.redis, how.on...)
			reads = 0
			for range 5 {
				_, err := r.refreshed("j", false, "id=1")
				refusal, is := store.RefusalIn(err)
				if !is || refusal.Code != code || !strings.Contains(err.Error(), refusal.Remedy) {
					t.Fatalf("%v", err)
				}
				if isFailure(err) || retryDelay(0, err, nil) > 25*time.Second {
					t.Errorf("it uses up a retry: %v", err)
				}
			}
			if code != "OOM" && reads > 1 {
				t.Errorf("%d tries have read the database", reads)
			}
			if err := r.w.Fence(t.Context(), j, []jobs.Key{{"id": "1"}}); (err == nil) != (code == "OOM") {
				t.Errorf("fence: %v", err)
			}
			reads = 0
			_, err := r.w.Run(t.Context(), "id", jobs.Run{Job: "j", Cause: jobs.CauseCommand, Rewrite: true}, nil)
			if refusal, is := store.RefusalIn(err); !is || refusal.Code != code {
				t.Errorf("run: %v", err)
			}
			if code != "OOM" && reads > 0 {
				t.Error("the run has read the database")
			}
			command(t, r.redis, how.off...)
			if _, err := r.refreshed("j", false, "id=1"); err != nil {
				t.Errorf("writes are taken again: %v", err)
			}
			r.wantCache(itemWant)
			r.run("j")
		})
	}
}

// A task that Redis refuses is done however often it was refused, also on its last try. Broken by: a refusal that
// is a failure to Asynq.
func TestRefusedTaskIsDone(t *testing.T) {
	t.Parallel()
	r := itemRig(t, func(s Source) Source { return s })
	r.run("j")
	s := r.serve(Concurrency{1, 1}, usual)
	defer s.Shutdown()
	r.exec("UPDATE item SET v = 2 WHERE id <= 2")
	command(t, r.redis, waysToRefuse["NOREPLICAS"].on...)
	var tasks []*asynq.TaskInfo
	for i, retries := range []int{8, 0} { // none left: the last try is the first
		task, err := jobs.NewInvalidation("j", jobs.Key{"id": string(rune('1' + i))})
		if err != nil {
			t.Fatal(err)
		}
		tasks = append(tasks, r.enqueue(task, asynq.MaxRetry(retries)))
	}
	run := r.enqueue(jobs.NewRun("j", jobs.CauseAPI), asynq.MaxRetry(1))
	eventually(t, 20*time.Second, "the run is refused", func() bool {
		_, is := store.RefusalInText(r.task(run).LastErr)
		return is
	})
	time.Sleep(8 * time.Second)
	command(t, r.redis, waysToRefuse["NOREPLICAS"].off...)
	for _, info := range append(tasks, run) {
		if done := r.await(info, asynq.TaskStateCompleted, 30*time.Second); done.Retried > 0 {
			t.Errorf("it used up a retry: %+v", done)
		}
	}
	r.wantCache(itemWant)
}

// A tick that was refused is owed until the next one, which stands for it. Broken by: a refused tick that counts as
// one that has failed for good, and one that is tried beside all that follow it.
func TestRefusedTick(t *testing.T) {
	refusal := errors.New("NOREPLICAS Not enough good replicas to write.")
	schedule, err := jobs.ParseSchedule("@every 1h", time.UTC)
	if err != nil {
		t.Fatal(err)
	}
	j := newJob("j", jobs.ValueRow, "item:{id}", "SELECT 1 AS id")
	j.Schedule = schedule
	due := schedule.Next(time.Now().Add(-time.Hour))
	if err := debt.Outcome(j, jobs.Run{Job: "j", Cause: jobs.CauseTick, Due: due.Unix()}, refusal); errors.Is(err,
		asynq.RevokeTask) {
		t.Errorf("the newest tick is given up: %v", err)
	}
	if err := debt.Outcome(j, jobs.Run{Job: "j", Cause: jobs.CauseTick, Due: due.Add(-time.Hour).Unix()},
		refusal); !errors.Is(
		err, asynq.RevokeTask) {
		t.Errorf("a tick is tried beside the next one: %v", err)
	}
	r := itemRig(t, func(s Source) Source { return s })
	if err := r.ledger.Add(t.Context(), store.Record{Job: "j", State: store.StateFailed, Due: due,
		Error: refusal.Error(), Cause: string(jobs.CauseTick)}); err != nil {
		t.Fatal(err)
	}
	if again, err := r.w.failedBefore(t.Context(), jobs.Run{Job: "j", Cause: jobs.CauseTick, Due: due.Unix()}); again ||
		err != nil {
		t.Errorf("a refused tick was given up: %v, %v", again, err)
	}
}

// What is no refusal is tried as before.
func TestNoRefusal(t *testing.T) {
	for _, err := range []error{&net.OpError{Op: "dial", Err: errors.New("connection refused")},
		context.DeadlineExceeded} {
		if !isFailure(err) || debt.Refused(err) {
			t.Errorf("%v", err)
		}
	}
}
