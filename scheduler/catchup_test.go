package scheduler_test

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/ledger"
	"github.com/stokerhq/stoker/store/storetest"
)

// At the start a job is enqueued once if its last tick was missed or it has never
// run, in however many replicas. It is 12:34 and the last tick was at 12:00.
func TestCatchUp(t *testing.T) {
	missed := []string{"catch-up 12:00:00 at 12:34:00"}
	for _, tt := range []struct {
		name, schedule string
		state          store.State // of the last run, which
		began          string
		want           []string
	}{
		{"has never run", "@hourly", "", "", missed},
		{"missed its last tick", "@hourly", store.StateOK, "2000-01-01 11:59:59", missed},
		{"missed many ticks", "@hourly", store.StateOK, "2000-01-01 03:00:00", missed},
		{"ran when it was due", "@hourly", store.StateOK, "2000-01-01 12:00:00", nil},
		{"has run since", "@hourly", store.StateOK, "2000-01-01 12:20:00", nil},
		{"has failed since", "@hourly", store.StateFailed, "2000-01-01 12:20:00", missed},
		{"was interrupted since", "@hourly", store.StateInterrupted, "2000-01-01 12:20:00", missed},
		{"aligned, missed", "@every 8h", store.StateOK, "2000-01-01 07:00:00",
			[]string{"catch-up 08:00:00 at 12:34:00"}},
		{"aligned, ran", "@every 8h", store.StateOK, "2000-01-01 09:00:00", nil},
		{"due right now", "34 12 * * *", store.StateOK, "2000-01-01 12:33:00",
			[]string{"catch-up 12:34:00 at 12:34:00"}},
		{"on demand, has never run", "", "", "", []string{"catch-up 00:00:00 at 12:34:00"}},
		{"on demand, has run", "", store.StateOK, "1999-01-01 00:00:00", nil},
		{"on demand, has failed", "", store.StateFailed, "1999-01-01 00:00:00",
			[]string{"catch-up 00:00:00 at 12:34:00"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				records, q := storetest.NewLedger(), &queue{}
				sleepUntil("2000-01-01 12:34:00")
				if tt.state != "" {
					began, err := time.Parse(time.DateTime, tt.began)
					if err != nil {
						t.Fatal(err)
					}
					ran(t, records, "j", began, tt.state)
				}
				list := []*jobs.Job{job(t, "j", tt.schedule, "UTC")}
				var replicas []*replica
				for range 3 {
					replicas = append(replicas, start(list, q, records))
					time.Sleep(10 * time.Second)
				}
				for _, r := range replicas {
					r.stop()
					r.wantMetrics(t, 0, 0, 0)
				}
				if diff := cmp.Diff(tt.want, q.taken()); diff != "" {
					t.Errorf("enqueued (-want +got):\n%s", diff)
				}
				wantMissed(t, records, "j", 0)
			})
		})
	}
}

// Without the IDs three replicas enqueue three times: so the test above can fail.
func TestCatchUpNeedsTheTaskID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &queue{forget: true}
		for range 3 {
			start([]*jobs.Job{job(t, "j", "", "")}, q, storetest.NewLedger()).stopSoon()
		}
		if n := len(q.ids()); n != 3 {
			t.Errorf("enqueued %d times, want 3", n)
		}
	})
}

// stopSoon stops a replica once it has nothing left to do but wait.
func (r *replica) stopSoon() {
	synctest.Wait()
	r.stop()
}

// Redis comes up later than the scheduler: what is to be caught up is tried until
// the next tick, which does as well; a job without one is tried for as long as it
// takes.
func TestCatchUpIsTriedAgain(t *testing.T) {
	for _, tt := range []struct {
		name, schedule, until string
		from, to              string // it is enqueued between, once
		want                  string
	}{
		{"within the period", "@hourly", "12:40:00", "12:40:00", "12:40:08", "catch-up 12:00:00"},
		{"not before the next tick", "@hourly", "13:00:30", "13:00:30", "13:00:38", "tick 13:00:00"},
		{"on demand", "", "15:00:00", "15:00:00", "15:00:08", "catch-up 00:00:00"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sleepUntil("2000-01-01 12:34:00")
				down := outage("00:00:00", tt.until)
				q := &queue{before: func(context.Context, string) error {
					if down() {
						return errDown
					}
					return nil
				}}
				ledgerDown := outage("00:00:00", "12:35:00") // first the one, then the other
				r := start([]*jobs.Job{job(t, "j", tt.schedule, "UTC")}, q, flaky{storetest.NewLedger(), ledgerDown})
				for clock() < tt.to {
					time.Sleep(time.Second)
				}
				r.stop()
				got := q.of("j")
				if len(got) != 1 {
					t.Fatalf("enqueued: %v", got)
				}
				if what := string(got[0].Cause) + " " + got[0].Due.Format(time.TimeOnly); what != tt.want {
					t.Errorf("enqueued %s, want %s", what, tt.want)
				}
				if at := got[0].At.Format(time.TimeOnly); at < tt.from || at > tt.to {
					t.Errorf("enqueued at %s, want %s to %s", at, tt.from, tt.to)
				}
			})
		})
	}
}

// What the fake queue does is what Asynq does: the same on a real one, in real
// time.
func TestCatchUpOnRealServers(t *testing.T) {
	url := storetest.Redis(t)
	o, err := redis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	var replicas []*replica
	list := []*jobs.Job{job(t, "yearly", "0 0 1 1 *", "UTC"), job(t, "on-demand", "", ""),
		job(t, "done", "0 0 1 1 *", "UTC")}
	c := redis.NewClient(o)
	defer c.Close()
	records := ledger.New(c)
	if err := records.Add(t.Context(), store.Record{Job: "done", State: store.StateOK, Start: time.Now()}); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		replicas = append(replicas, start(list, asynq.NewClientFromRedisClient(c), records))
	}
	inspector := asynq.NewInspectorFromRedisClient(c)
	yearly, _ := list[0].Schedule.Prev(time.Now())
	want := []string{tickID("on-demand", time.Unix(0, 0)), tickID("yearly", yearly)}
	var got []string
	for deadline := time.Now().Add(10 * time.Second); len(got) < len(want) &&
		time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		got = nil
		tasks, err := inspector.ListPendingTasks(jobs.QueueRun)
		if err != nil {
			continue // the queue is not there before its first task
		}
		for _, task := range tasks {
			got = append(got, task.ID)
		}
	}
	for _, r := range replicas {
		r.stop()
	}
	tasks, err := inspector.ListPendingTasks(jobs.QueueRun)
	if err != nil || len(tasks) != len(want) {
		t.Errorf("%d tasks are pending, %v; want %d", len(tasks), err, len(want))
	}
	if diff := cmp.Diff(want, slices.Sorted(slices.Values(got))); diff != "" {
		t.Errorf("tasks (-want +got):\n%s", diff)
	}
}

// Broken by: a job whose first task is lost, as by a flush in the first moments, or given up, and that nothing asks for
// again, or only at its next tick.
func TestJobIsAskedForUntilItHasRun(t *testing.T) {
	for name, schedule := range map[string]string{"on-demand": "", "daily": "@daily"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l, q := storetest.NewLedger(), &queue{forget: true}
				r := start([]*jobs.Job{job(t, name, schedule, "UTC")}, q, l)
				asked := func(until string, want int) {
					t.Helper()
					sleepUntil(until)
					if n := len(q.of(name)); n != want {
						t.Errorf("until %s it was asked for %d times, want %d", until, n, want)
					}
				}
				asked("2000-01-01 00:00:03", 2)
				asked("2000-01-01 00:35:00", 11)
				ran(t, l, name, time.Now(), store.StateFailed) // the reason is on record: it is not a matter of time
				asked("2000-01-01 02:00:00", 11)
				r.stop()
			})
		})
	}
}

// A first run that takes long is not asked for again.
func TestFirstRunIsLeftToEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, q := storetest.NewLedger(), &queue{forget: true}
		if _, err := l.Lease(t.Context(), "j", "a worker", time.Hour); err != nil {
			t.Fatal(err)
		}
		r := start([]*jobs.Job{job(t, "j", "@daily", "UTC")}, q, l)
		sleepUntil("2000-01-01 00:35:00")
		r.stop()
		if n := len(q.of("j")); n != 1 {
			t.Errorf("it was asked for %d times while it was going on", n)
		}
	})
}
