package scheduler_test

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/scheduler"
	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/storetest"
)

// by returns a job of a definition.
func by(t *testing.T, name, schedule, query string) *jobs.Job {
	t.Helper()
	j := job(t, name, schedule, "UTC")
	j.Query = query
	return j
}

// worked is a queue whose runs complete at once, by the definition of whoever works then.
type worked struct {
	*queue
	records *storetest.FakeLedger

	working sync.Mutex
	jobs    []*jobs.Job
}

func (w *worked) work(t *testing.T) func(id string) error {
	return func(string) error {
		w.queue.mu.Lock()
		last := w.queue.tasks[len(w.queue.tasks)-1]
		w.queue.mu.Unlock()
		w.working.Lock()
		defer w.working.Unlock()
		for _, j := range w.jobs {
			if j.Name == last.Job {
				return w.records.Add(t.Context(), store.Record{ID: last.ID, Job: j.Name, State: store.StateOK,
					Definition: j.Definition(), Start: time.Now(), End: time.Now()})
			}
		}
		return nil
	}
}

// Three replicas get another spec, one after the other within some seconds. A job that stays ticks on, each tick once,
// and is not run for it; one that is changed is run again after the last replica has let go of the old definition; one
// that is new is run as at a start; one that is gone is not enqueued any more.
//
// Broken by: a catch-up of all jobs; none of changed ones; a run of a changed job that one before the last replica's
// change covers; ticks that go on.
func TestReplace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ledger := storetest.NewLedger()
		q := &worked{queue: &queue{}, records: ledger, jobs: nil}
		stays, before := by(t, "stays", "@every 10s", "1"), by(t, "changed", "@every 1h", "1")
		gone := by(t, "gone", "@every 10s", "1")
		after, added := by(t, "changed", "@every 1h", "2"), by(t, "added", "", "1")
		first, second := []*jobs.Job{stays, before, gone}, []*jobs.Job{stays, after, added}
		q.jobs = first
		q.after = q.work(t)
		ctx, cancel := context.WithCancel(t.Context())
		var replicas []*scheduler.Scheduler
		for range 3 {
			s := scheduler.New(scheduler.Config{Jobs: first, Queue: q, Ledger: ledger, Epochs: noEpoch{},
				Metrics: scheduler.NewMetrics(prometheus.NewRegistry()), Log: slog.New(slog.DiscardHandler)})
			go s.Run(ctx)
			replicas = append(replicas, s)
		}
		time.Sleep(15 * time.Second)
		q.working.Lock()
		q.jobs = second
		q.working.Unlock()
		changing := time.Now()
		var last time.Time
		for _, s := range replicas {
			last = time.Now()
			s.Replace(second)
			time.Sleep(3 * time.Second)
		}
		time.Sleep(time.Minute)
		cancel()
		synctest.Wait()
		dues := make(map[time.Time]int)
		for _, task := range q.of("stays") {
			dues[task.Due]++
			if task.Cause != jobs.CauseTick && task.At.After(changing) {
				t.Errorf("a job that stays was run at %s because of %s", task.At, task.Cause)
			}
		}
		if len(dues) < 7 {
			t.Errorf("a job that stays has ticked at %v", dues)
		}
		for due, n := range dues {
			if n != 1 {
				t.Errorf("the tick of %s was enqueued %d times", due, n)
			}
		}
		runs := q.of("changed")
		if n := len(runs); n < 2 || n > 4 || runs[n-1].At.Before(last) {
			t.Errorf("a changed job was run at %v; the last replica was changed at %s", runs, last)
		}
		if runs := q.of("added"); len(runs) != 1 {
			t.Errorf("a new job was enqueued as %v", runs)
		}
		for _, task := range q.of("gone") {
			if task.At.After(last) {
				t.Errorf("a job that is gone was enqueued at %s, after %s", task.At, last)
			}
		}
	})
}

// A daemon that starts with another definition of a job than was run last runs it at once. Records of older versions
// do not say by which they were made: then nothing is run.
func TestStartWithAnotherDefinition(t *testing.T) {
	for name, tc := range map[string]struct {
		recorded string
		want     int
	}{
		"the same":        {by(t, "a", "", "1").Definition(), 0},
		"another":         {by(t, "a", "", "2").Definition(), 1},
		"an older record": {"", 0},
	} {
		for _, schedule := range []string{"", "@every 1h"} {
			synctest.Test(t, func(t *testing.T) {
				ledger, q := storetest.NewLedger(), &queue{}
				if err := ledger.Add(t.Context(), store.Record{Job: "a", State: store.StateOK, Definition: tc.recorded,
					Start: time.Now(), End: time.Now()}); err != nil {
					t.Fatal(err)
				}
				r := start([]*jobs.Job{by(t, "a", schedule, "1")}, q, ledger)
				time.Sleep(time.Minute)
				r.stop()
				if got := q.of("a"); len(got) != tc.want {
					t.Errorf("%s, schedule %q: enqueued %v", name, schedule, got)
				}
			})
		}
	}
}
