package scheduler_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store/storetest"
)

// The schedules of the week, each with its ticks by arithmetic and not by the
// code under test: every so often since 1970, so long after.
var week = []struct {
	name, schedule, zone string
	every, after         time.Duration
}{
	{"five", "*/5 * * * *", "UTC", 5 * time.Minute, 0},
	{"second", "15 */10 * * * *", "UTC", 10 * time.Minute, 15 * time.Second},
	{"hourly", "@hourly", "UTC", time.Hour, 0},
	{"daily", "30 3 * * *", "Asia/Tokyo", 24 * time.Hour, 18*time.Hour + 30*time.Minute},
	{"aligned", "@every 7m", "UTC", 7 * time.Minute, 0},
	{"fast", "@every 40s", "UTC", 40 * time.Second, 0},
}

// ticksOfTheWeek returns the ticks in [from, to), the first as the catch-up of a
// job that has never run.
func ticksOfTheWeek(job string, every, after time.Duration, start, to time.Time) (want []queued) {
	due := time.Unix(0, 0).UTC().Add(after)
	due = due.Add(start.Sub(due) / every * every)
	at, cause := start, jobs.CauseCatchUp
	for ; due.Before(to); due = due.Add(every) {
		want = append(want, queued{ID: tickID(job, due), Job: job, Due: due, At: at, Cause: cause})
		at, cause = due.Add(every), jobs.CauseTick
	}
	return want
}

func weekJobs(t *testing.T) (list []*jobs.Job) {
	for _, w := range week {
		list = append(list, job(t, w.name, w.schedule, w.zone))
	}
	return append(list, job(t, "on-demand", "", ""))
}

// A week of ticks of several schedules: each once, at its time, under its name.
func TestWeek(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ledger := storetest.NewLedger()
		q := &queue{ledger: ledger}
		sleepUntil("2000-02-26 12:00:37") // the week has a leap day
		begin := time.Now().UTC()
		r := start(weekJobs(t), q, ledger)
		time.Sleep(7 * 24 * time.Hour)
		r.stop()
		end := time.Now().UTC()
		for _, w := range week {
			want := ticksOfTheWeek(w.name, w.every, w.after, begin, end)
			if diff := cmp.Diff(want, q.of(w.name)); diff != "" {
				t.Errorf("ticks of %s (-want +got):\n%s", w.name, diff)
			}
			wantMissed(t, ledger, w.name, 0)
		}
		if got := q.of("on-demand"); len(got) != 1 || got[0].ID != "warm:on-demand@0" {
			t.Errorf("the job without a schedule was enqueued as %v", got)
		}
		if q.conflicts != 0 {
			t.Errorf("one replica came into conflict %d times", q.conflicts)
		}
	})
}

// replicasOfTheWeek runs three replicas that are started at different moments,
// and one of them anew, and returns how often each tick was enqueued.
func replicasOfTheWeek(t *testing.T, q *queue, ledger *storetest.FakeLedger) map[string]int {
	list := weekJobs(t)
	var replicas []*replica
	for _, pause := range []time.Duration{0, 17*time.Second + 300*time.Millisecond, 3 * time.Minute} {
		time.Sleep(pause)
		replicas = append(replicas, start(list, q, ledger))
	}
	time.Sleep(6 * time.Hour)
	replicas[1].stop()
	time.Sleep(time.Hour)
	replicas[1] = start(list, q, ledger)
	time.Sleep(17 * time.Hour)
	for _, r := range replicas {
		r.stop()
	}
	times := map[string]int{}
	for _, id := range q.ids() {
		times[id]++
	}
	return times
}

func TestThreeReplicas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ledger := storetest.NewLedger()
		q := &queue{ledger: ledger}
		begin := time.Now().UTC()
		times := replicasOfTheWeek(t, q, ledger)
		want := map[string]int{"warm:on-demand@0": 1}
		for _, w := range week {
			for _, tick := range ticksOfTheWeek(w.name, w.every, w.after, begin, time.Now()) {
				want[tick.ID] = 1
			}
			wantMissed(t, ledger, w.name, 0)
		}
		if diff := cmp.Diff(want, times); diff != "" {
			t.Errorf("how often each tick was enqueued (-want +got):\n%s", diff)
		}
	})
}

// The same with a queue that does not look at IDs: so the test above can fail.
func TestThreeReplicasNeedTheTaskID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ledger := storetest.NewLedger()
		times := replicasOfTheWeek(t, &queue{ledger: ledger, forget: true}, ledger)
		last := time.Now().UTC().Truncate(time.Hour).Add(-time.Hour)
		if id := tickID("hourly", last); times[id] != 3 {
			t.Errorf("%s was enqueued %d times, want 3", id, times[id])
		}
	})
}

// Where the wall clock is changed, a time that is skipped does not fire and one
// that comes twice fires twice, under the names of two moments.
func TestDaylightSaving(t *testing.T) {
	const zone = "America/New_York"
	for _, tt := range []struct {
		name, schedule string
		from, to       string // UTC
		want           []string
	}{
		{"spring skips 02:30", "30 2 * * *", "2000-04-01 00:00:00", "2000-04-04 00:00:00",
			[]string{"2000-04-01 07:30:00", "2000-04-03 06:30:00"}},
		{"spring, 03:30", "30 3 * * *", "2000-04-01 00:00:00", "2000-04-04 00:00:00",
			[]string{"2000-04-01 08:30:00", "2000-04-02 07:30:00", "2000-04-03 07:30:00"}},
		{"autumn repeats 01:30", "30 1 * * *", "2000-10-28 00:00:00", "2000-10-31 00:00:00",
			[]string{"2000-10-28 05:30:00", "2000-10-29 05:30:00", "2000-10-29 06:30:00", "2000-10-30 06:30:00"}},
		{"hourly does not care", "0 * * * *", "2000-10-29 04:30:00", "2000-10-29 08:30:00",
			[]string{"2000-10-29 05:00:00", "2000-10-29 06:00:00", "2000-10-29 07:00:00", "2000-10-29 08:00:00"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var want []string
				for _, s := range tt.want {
					due, err := time.Parse(time.DateTime, s)
					if err != nil {
						t.Fatal(err)
					}
					want = append(want, tickID("j", due))
				}
				sleepUntil(tt.from)
				ledger := storetest.NewLedger()
				ran(t, ledger, "j", time.Now(), "ok")
				q := &queue{ledger: ledger}
				list := []*jobs.Job{job(t, "j", tt.schedule, zone)}
				replicas := []*replica{start(list, q, ledger), start(list, q, ledger)}
				sleepUntil(tt.to)
				for _, r := range replicas {
					r.stop()
				}
				if diff := cmp.Diff(want, q.ids()); diff != "" {
					t.Errorf("ticks (-want +got):\n%s", diff)
				}
			})
		})
	}
}
