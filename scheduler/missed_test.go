package scheduler_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hibiken/asynq"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/storetest"
)

// wantMetrics compares all counters of job j.
func (r *replica) wantMetrics(t *testing.T, due, missed, failed int) {
	t.Helper()
	want := fmt.Sprintf(`
# HELP stoker_enqueue_failures_total Attempts to enqueue a tick that failed and were tried again.
# TYPE stoker_enqueue_failures_total counter
stoker_enqueue_failures_total{job="j"} %d
# HELP stoker_ticks_due_total Ticks that came due in this process.
# TYPE stoker_ticks_due_total counter
stoker_ticks_due_total{job="j"} %d
# HELP stoker_ticks_missed_total Ticks that came too late or could not be enqueued before the next one.
# TYPE stoker_ticks_missed_total counter
stoker_ticks_missed_total{job="j"} %d
`, failed, due, missed)
	if err := testutil.GatherAndCompare(r.metrics, strings.NewReader(want)); err != nil {
		t.Error(err)
	}
}

// clock returns the bubble's time of day.
func clock() string { return time.Now().UTC().Format(time.TimeOnly) }

// taken returns what a queue took: the tick and when, by the bubble's clock.
func (q *queue) taken() (all []string) {
	for _, task := range q.of("j") {
		all = append(all, fmt.Sprintf("%s %s at %s", task.Cause, task.Due.Format(time.TimeOnly),
			task.At.Format(time.TimeOnly)))
	}
	return all
}

// minutely is a job with a tick each minute, complete up to now: nothing is to be
// caught up at the start.
func minutely(t *testing.T) (list []*jobs.Job, ledger *storetest.FakeLedger) {
	ledger = storetest.NewLedger()
	ran(t, ledger, "j", time.Now(), store.StateOK)
	return []*jobs.Job{job(t, "j", "* * * * *", "UTC")}, ledger
}

// A process that slept, or a Redis call that hung, wakes up several ticks later:
// the last one is made up, the others are missed, but for those that a run has
// covered meanwhile: another replica was awake.
func TestLateWakeUp(t *testing.T) {
	good := store.Record{State: store.StateOK}
	for _, tt := range []struct {
		name   string
		woke   string
		began  string       // when a run of another replica began
		run    store.Record // that run
		missed int          // of the two that passed, 00:02 and 00:03
		told   int          // of the three, with 00:01
	}{
		{"nobody else was awake", "00:04:30", "", store.Record{}, 2, 3},
		{"a run covered the one that hung", "00:04:30", "2000-01-01 00:01:59", good, 2, 2},
		{"a run began when the first was due", "00:04:30", "2000-01-01 00:02:00", good, 1, 1},
		{"a run covered the first", "00:04:30", "2000-01-01 00:02:30", good, 1, 1},
		{"a run began when the last was due", "00:04:30", "2000-01-01 00:03:00", good, 0, 1},
		{"a run covered the last", "00:04:30", "2000-01-01 00:03:01", good, 0, 1},
		{"a run of the next tick covers none", "00:04:30", "2000-01-01 00:04:00", good, 2, 3},
		{"awake as a tick is due", "00:04:00", "", store.Record{}, 2, 3},
		{"a run that failed covers none", "00:04:30", "2000-01-01 00:03:01", store.Record{State: store.StateFailed}, 2,
			3},
		{"a removal covers none", "00:04:30", "2000-01-01 00:03:01", store.Record{State: store.StateOK, Removal: true},
			2, 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				list, ledger := minutely(t)
				hung := false
				q := &queue{before: func(context.Context, string) error {
					if !hung {
						hung = true
						sleepUntil("2000-01-01 " + tt.woke) // and obeys no context, as a suspended machine
					}
					return nil
				}}
				r := start(list, q, ledger)
				if tt.began != "" {
					sleepUntil("2000-01-01 00:04:10")
					began, err := time.Parse(time.DateTime, tt.began)
					if err != nil {
						t.Fatal(err)
					}
					tt.run.Job, tt.run.Start, tt.run.End = "j", began, began
					if err := ledger.Add(t.Context(), tt.run); err != nil {
						t.Fatal(err)
					}
				}
				sleepUntil("2000-01-01 00:06:30")
				r.stop()
				// The one that hung was stale when the call came back.
				want := []string{"tick 00:04:00 at " + tt.woke, "tick 00:05:00 at 00:05:00",
					"tick 00:06:00 at 00:06:00"}
				if diff := cmp.Diff(want, q.taken()); diff != "" {
					t.Errorf("ticks (-want +got):\n%s", diff)
				}
				wantMissed(t, ledger, "j", int64(tt.told))
				r.wantMetrics(t, 6, tt.missed+1, 0)
			})
		})
	}
}

// outage makes a queue and its ledger fail from one time to another.
func outage(from, to string) func() bool {
	return func() bool { return clock() >= from && clock() < to }
}

// Redis is away for longer than two ticks. Each is tried until the next one makes
// it stale, and is then missed once; the ledger, which lies in the same Redis, is
// told when it is back. Three replicas tell of the same ticks.
func TestOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		list, ledger := minutely(t)
		down := outage("00:00:50", "00:03:20")
		var attempts atomic.Int64
		q := &queue{ledger: ledger, before: func(context.Context, string) error {
			if down() {
				attempts.Add(1)
				return errDown
			}
			return nil
		}}
		var replicas []*replica
		for range 3 {
			replicas = append(replicas, start(list, q, flaky{ledger, down}))
		}
		sleepUntil("2000-01-01 00:03:10")
		wantMissed(t, ledger, "j", 0)
		sleepUntil("2000-01-01 00:04:30")
		var failed int64
		for _, r := range replicas {
			r.stop()
			n := int64(gather(t, r, "stoker_enqueue_failures_total"))
			r.wantMetrics(t, 4, 2, int(n))
			failed += n
		}
		if n := attempts.Load(); failed != n || n < 3*2*10 || n > 3*3*40 {
			t.Errorf("%d failures were counted of %d attempts; want some twenty a minute and replica", failed, n)
		}
		got := q.of("j")
		if len(got) != 2 || got[0].Due.Format(time.TimeOnly) != "00:03:00" ||
			got[1].Due.Format(time.TimeOnly) != "00:04:00" {
			t.Fatalf("enqueued: %v", got)
		}
		if late := got[0].At.Format(time.TimeOnly); late < "00:03:20" || late > "00:03:28" {
			t.Errorf("the tick of 00:03:00 was enqueued at %s, not soon after the outage", late)
		}
		wantMissed(t, ledger, "j", 2)
	})
}

// Redis is away for one replica alone: the others enqueue every tick, and what
// the page shows is that none was missed.
func TestPartition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		list, ledger := minutely(t)
		q := &queue{ledger: ledger}
		down := outage("00:00:50", "00:03:20")
		cut := enqueuer(func(ctx context.Context, task *asynq.Task, opts ...asynq.Option) (*asynq.TaskInfo, error) {
			if down() {
				return nil, errDown
			}
			return q.EnqueueContext(ctx, task, opts...)
		})
		replicas := []*replica{start(list, q, ledger), start(list, cut, flaky{ledger, down}), start(list, q, ledger)}
		sleepUntil("2000-01-01 00:05:30")
		for _, r := range replicas {
			r.stop()
		}
		if n := len(q.taken()); n != 5 {
			t.Errorf("%d ticks were enqueued, want 5", n)
		}
		wantMissed(t, ledger, "j", 0)
		replicas[0].wantMetrics(t, 5, 0, 0)
		replicas[1].wantMetrics(t, 5, 2, int(gather(t, replicas[1], "stoker_enqueue_failures_total")))
	})
}

type enqueuer func(context.Context, *asynq.Task, ...asynq.Option) (*asynq.TaskInfo, error)

func (e enqueuer) EnqueueContext(ctx context.Context, task *asynq.Task, opts ...asynq.Option) (*asynq.TaskInfo, error) {
	return e(ctx, task, opts...)
}

func gather(t *testing.T, r *replica, name string) float64 {
	t.Helper()
	families, err := r.metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetCounter().GetValue()
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}

// The ledger alone is away: what was missed is kept until it can be told.
func TestMissedTicksAreToldLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		list, ledger := minutely(t)
		queueDown := outage("00:00:50", "00:02:00")
		q := &queue{before: func(context.Context, string) error {
			if queueDown() {
				return errDown
			}
			return nil
		}}
		r := start(list, q, flaky{ledger, outage("00:01:00", "00:03:30")})
		sleepUntil("2000-01-01 00:03:45")
		wantMissed(t, ledger, "j", 0)
		sleepUntil("2000-01-01 00:09:00")
		r.stop()
		wantMissed(t, ledger, "j", 1)
	})
}

// What was told is not told again with the next ones.
func TestTwoOutages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		list, ledger := minutely(t)
		first, second := outage("00:00:50", "00:02:00"), outage("00:03:50", "00:06:00")
		q := &queue{before: func(context.Context, string) error {
			if first() || second() {
				return errDown
			}
			return nil
		}}
		r := start(list, q, ledger)
		sleepUntil("2000-01-01 00:03:30")
		wantMissed(t, ledger, "j", 1)
		sleepUntil("2000-01-01 00:08:30")
		r.stop()
		wantMissed(t, ledger, "j", 3)
	})
}

// An answer that is lost is asked for again, and the conflict of IDs that follows
// is success: the tick was enqueued once, and not missed.
func TestLostAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		list, ledger := minutely(t)
		lost := false
		q := &queue{after: func(string) error {
			if !lost {
				lost = true
				return errDown
			}
			return nil
		}}
		r := start(list, q, ledger)
		sleepUntil("2000-01-01 00:02:30")
		r.stop()
		if diff := cmp.Diff([]string{"tick 00:01:00 at 00:01:00", "tick 00:02:00 at 00:02:00"}, q.taken()); diff != "" {
			t.Errorf("ticks (-want +got):\n%s", diff)
		}
		if q.conflicts != 1 {
			t.Errorf("%d conflicts, want 1", q.conflicts)
		}
		wantMissed(t, ledger, "j", 0)
		r.wantMetrics(t, 2, 0, 1)
	})
}

// A conflict needs no second attempt.
func TestConflictIsSuccess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		list, ledger := minutely(t)
		attempts := 0
		q := &queue{before: func(context.Context, string) error {
			attempts++
			return fmt.Errorf("enqueue: %w", asynq.ErrTaskIDConflict)
		}}
		r := start(list, q, ledger)
		sleepUntil("2000-01-01 00:03:30")
		r.stop()
		if attempts != 3 {
			t.Errorf("%d attempts for three ticks", attempts)
		}
		r.wantMetrics(t, 3, 0, 0)
	})
}

// Counters are there before anything has happened: Prometheus sees no increase in
// one that appears at 1.
func TestMetricsBeginAtZero(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		list, ledger := minutely(t)
		r := start(list, &queue{}, ledger)
		r.wantMetrics(t, 0, 0, 0)
		r.stop()
	})
}

// However it is busy, a scheduler ends at once when it is stopped. That it leaves
// no goroutine is what the end of the bubble says.
func TestStop(t *testing.T) {
	failing := func(context.Context, string) error { return errors.New("refused") }
	hanging := func(ctx context.Context, _ string) error { <-ctx.Done(); return ctx.Err() }
	for _, tt := range []struct {
		name, schedule string
		before         func(context.Context, string) error
		ledgerDown     bool
		after          time.Duration
	}{
		{"asleep", "0 0 1 1 *", nil, false, time.Hour},
		{"between two ticks", "* * * * *", nil, false, 90 * time.Second},
		{"on demand, done", "", nil, false, time.Hour},
		{"trying again", "@hourly", failing, false, 90 * time.Minute},
		{"in a call", "@hourly", hanging, false, 90 * time.Minute},
		{"catching up on demand", "", failing, false, time.Hour},
		{"catching up on demand, in a call", "", hanging, false, time.Hour},
		{"asking the ledger", "@hourly", nil, true, time.Minute},
		{"at once", "* * * * *", nil, false, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ledger := flaky{storetest.NewLedger(), func() bool { return tt.ledgerDown }}
				r := start([]*jobs.Job{job(t, "j", tt.schedule, "UTC"), job(t, "other", "@every 10s", "UTC")},
					&queue{before: tt.before}, ledger)
				time.Sleep(tt.after)
				missed := gather(t, r, "stoker_ticks_missed_total")
				begin := time.Now()
				r.stop()
				if took := time.Since(begin); took > 0 {
					t.Errorf("it took %v to stop", took)
				}
				if after := gather(t, r, "stoker_ticks_missed_total"); after != missed {
					t.Errorf("stopping made %v ticks missed", after-missed)
				}
			})
		})
	}
}

// Who is stopped before it has begun enqueues nothing.
func TestStoppedBeforeItBegins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		q := &queue{}
		r := start(nil, q, storetest.NewLedger()) // of no job: ends by itself
		r.stop()
		list := []*jobs.Job{job(t, "j", "* * * * *", "UTC"), job(t, "k", "", "")}
		newScheduler(list, q, storetest.NewLedger(), prometheus.NewRegistry()).Run(ctx)
		if got := q.ids(); len(got) > 0 {
			t.Errorf("enqueued: %v", got)
		}
	})
}
