package worker

import (
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/storetest"
)

// slowRig has a job of many rows on a Redis of its own, and calls pause once when some batches are written.
func slowRig(t *testing.T, change func(*jobs.Job), pause func(r *rig)) *rig {
	j := newJob("j", jobs.ValueRow, "item:{id}", "SELECT id, v FROM item")
	if change != nil {
		change(j)
	}
	var r *rig
	var once atomic.Bool
	r = newRig(t, plan{redis: storetest.OwnRedis(t).URL(0), jobs: []*jobs.Job{j},
		sql: []string{"CREATE TABLE item (id int PRIMARY KEY, v int)",
			"INSERT INTO item SELECT i, 1 FROM generate_series(1, 20000) i"},
		cache: tapped(func(n int) {
			if n > 50 && once.CompareAndSwap(false, true) {
				pause(r)
			}
		})})
	return r
}

// A run waits for a Redis that is paused, longer than any timeout of a connection, and says so; what was sent before
// may have been done or not, and is sent again. Broken by: a batch, or a command of the run's end, that gives up.
func TestRunWaitsForAPausedRedis(t *testing.T) {
	t.Parallel()
	for name, pause := range map[string]func(*testing.T, *rig){
		"CLIENT PAUSE": func(t *testing.T, r *rig) { command(t, r.redis, "client", "pause", 25000, "all") },
		"only writes":  func(t *testing.T, r *rig) { command(t, r.redis, "client", "pause", 25000, "write") },
		"SIGSTOP": func(t *testing.T, r *rig) {
			pid, err := r.redis.Info(t.Context(), "server").Result()
			if err != nil {
				t.Error(err)
				return
			}
			n := serverPID(t, pid)
			if err := syscall.Kill(n, syscall.SIGSTOP); err != nil {
				t.Error(err)
			}
			time.AfterFunc(25*time.Second, func() { _ = syscall.Kill(n, syscall.SIGCONT) })
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := slowRig(t, func(j *jobs.Job) { j.Timeout = 3 * time.Minute }, func(r *rig) { pause(t, r) })
			var said atomic.Bool
			began := time.Now()
			rec, err := r.w.Run(t.Context(), "id", jobs.Run{Job: "j", Cause: jobs.CauseCommand},
				func(p store.Progress) {
					if strings.Contains(p.Waiting, "redis does not answer") {
						said.Store(true)
					}
				})
			if err != nil || rec.State != store.StateOK || rec.Keys != 20000 {
				t.Fatalf("%v: %+v\n%s", err, rec, r.logs)
			}
			if took := time.Since(began); took < 20*time.Second {
				t.Fatalf("it took %s: nothing is tested", took)
			}
			if !said.Load() || !strings.Contains(r.logs.String(), "a run waits for redis") ||
				!strings.Contains(r.logs.String(), "no longer waits") {
				t.Errorf("it was not said, progress %v:\n%s", said.Load(), r.logs)
			}
			r.wantCache(itemWant)
			if rec := r.run("j"); rec.Sent != 0 && !rec.Unchanged {
				t.Errorf("what the run left is not what Redis has: %+v", rec)
			}
		})
	}
}

// The wait ends with the job's own timeout, which names it; and with the worker.
func TestRunWaitsNoLongerThanItsTimeout(t *testing.T) {
	t.Parallel()
	r := slowRig(t, func(j *jobs.Job) { j.Timeout = 15 * time.Second },
		func(r *rig) { command(t, r.redis, "client", "pause", 60000, "all") })
	began := time.Now()
	rec, err := r.w.Run(t.Context(), "id", jobs.Run{Job: "j", Cause: jobs.CauseCommand}, nil)
	if took := time.Since(began); took > 40*time.Second {
		t.Errorf("it took %s", took)
	}
	if rec.State != store.StateFailed || err == nil || !strings.Contains(err.Error(), "the job's timeout of 15s") ||
		!strings.Contains(err.Error(), "redis did not answer") {
		t.Errorf("%v: %+v", err, rec)
	}
}

func serverPID(t *testing.T, info string) (pid int) {
	t.Helper()
	for line := range strings.Lines(info) {
		if text, ok := strings.CutPrefix(strings.TrimSpace(line), "process_id:"); ok {
			for _, digit := range text {
				pid = 10*pid + int(digit-'0')
			}
		}
	}
	return pid
}
