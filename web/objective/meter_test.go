package objective

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
)

// A job that nobody follows is as old as its last complete run.
func TestAgeWithoutChanges(t *testing.T) {
	play(t, func(r *rig) {
		_, stop := r.meter()
		defer stop()
		time.Sleep(10 * time.Second)
		synctest.Wait()
		r.wantBad("before the first run", 10, 0)
		for range 5 { // a run each 90 s: 60 s of them are good
			r.complete(nil)
			time.Sleep(90 * time.Second)
		}
		synctest.Wait()
		r.wantBad("after five runs", 10+5*30, 6)
		if st := r.status(); st.Met || !strings.Contains(st.Reason, "1 min 30 s old") {
			t.Errorf("met: %v, %s", st.Met, st.Reason)
		}
	})
}

// A change that does not show is bad from its COMMIT on, plus the age that it may have; a feed that is down says
// nothing more, and what it said last still counts.
func TestAgeIsOfTheCommit(t *testing.T) {
	play(t, func(r *rig) {
		r.follow()
		r.complete(nil)
		_, stop := r.meter()
		defer stop()
		r.refresh(10 * time.Minute)
		r.wantBad("all shows", 0, 0)
		committed := time.Now()
		for range 100 { // heard of 40 s later, and not shown for another minute
			r.shows(committed)
			time.Sleep(time.Second)
		}
		synctest.Wait()
		r.wantBad("a change does not show", 40, 1)
		if st := r.status(); st.Met || *st.Oldest < 99 || !strings.Contains(st.Reason, "do not show yet") {
			t.Errorf("met: %v, %s", st.Met, st.Reason)
		}
		r.refresh(10 * time.Minute)
		r.wantBad("it shows", 40, 2)
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		r.wantBad("nobody follows", 40+4*60, 4)
	})
}

// What is not known, and what is wrong, is bad time once the age is over, whatever the change feed says.
//
// Broken by: unknown that counts as good.
func TestUnknownIsBad(t *testing.T) {
	for name, test := range map[string]struct {
		broken func(r *rig)
		reason string
		after  float64 // seconds until it is bad
	}{
		"cold":    {func(r *rig) { r.set(func() { r.present = 379 }) }, "94 % of 400 sampled keys", 0},
		"no look": {func(r *rig) { r.set(func() { r.blind = true }) }, "cannot be looked at", 5},
		"run fails": {func(r *rig) {
			r.complete(func(rec *store.Record) { rec.State = store.StateFailed })
		}, "the last run failed", 60},
		"gap":         {func(r *rig) { r.set(func() { r.epoch = 4 }) }, "changes may have been missed", 60},
		"lost":        {func(r *rig) { r.set(func() { r.epoch, r.history = 4, 4 }) }, "the cache was lost", 0},
		"begun again": {func(r *rig) { r.set(func() { r.epoch, r.history = 1, 1 }) }, "the cache was lost", 0},
		"held":        {func(r *rig) { r.complete(func(rec *store.Record) { rec.Held = 7 }) }, "7 keys", 60},
		"hidden": {func(r *rig) {
			r.complete(func(rec *store.Record) { rec.Filtered = []string{"a"} })
		}, "row-level security", 60},
		"changed": {func(r *rig) {
			r.complete(func(rec *store.Record) { rec.Definition = "other" })
		}, "was changed", 60},
		"not followed": {func(r *rig) {
			if err := r.ledger.ReportFreshness(r.Context(), store.Freshness{Epoch: 3}); err != nil {
				r.Fatal(err)
			}
		}, "its changes are not followed", 60},
		"redis is down": {func(r *rig) { r.set(func() { r.down = true }) }, "nobody has measured", 5},
	} {
		t.Run(name, func(t *testing.T) {
			play(t, func(r *rig) {
				r.follow()
				r.complete(nil)
				_, stop := r.meter()
				defer stop()
				r.refresh(time.Minute)
				r.wantBad("at first", 0, 0)
				test.broken(r)
				if name == "not followed" {
					time.Sleep(10 * time.Minute)
				} else {
					r.refresh(10 * time.Minute)
				}
				r.wantBad(name, 600-test.after-warmEvery.Seconds()-1, test.after+warmEvery.Seconds()+1)
				if st := r.status(); st.Met || !strings.Contains(st.Reason, test.reason) {
					t.Errorf("met: %v, %s", st.Met, st.Reason)
				}
				r.set(func() { r.down, r.blind, r.present, r.epoch, r.history = false, false, 400, 3, 2 })
				r.complete(nil)
				bad := r.bad()
				r.refresh(10 * time.Minute)
				if more := r.bad() - bad; more > warmEvery.Seconds()+2 {
					t.Errorf("%.1f s bad after it was mended", more)
				}
			})
		})
	}
}

// The sum is that of one clock, whichever replica counts: time between two that do counts once, as good if what was
// known before says so, and never twice.
//
// Broken by: a replica that begins anew, and one that adds to what another has changed.
func TestReplicas(t *testing.T) {
	play(t, func(r *rig) {
		r.follow()
		r.complete(nil)
		_, stopFirst := r.meter()
		_, stopSecond := r.meter()
		r.refresh(10 * time.Minute)
		r.wantBad("two replicas", 0, 0)
		stopFirst()
		r.refresh(10 * time.Minute)
		r.wantBad("one has stopped", 0, 0)
		stopSecond()
		time.Sleep(time.Hour)
		_, stop := r.meter()
		defer stop()
		r.refresh(10 * time.Minute)
		// what was known when the last one stopped counts as long as its sample of keys
		r.wantBad("an hour without one", 3600-warmCounts.Seconds(), 8)
	})
}

// A replica that was paused, and then counts on although another has taken over, adds nothing.
func TestLateReplica(t *testing.T) {
	play(t, func(r *rig) {
		r.complete(nil)
		late := New(Config{Spec: r.spec, Records: r, Epochs: r, Sampler: r, Accounts: r, Leases: r.ledger})
		late.turn(r.Context(), time.Now())
		paused := late.jobs["a"]
		_, stop := r.meter()
		defer stop()
		time.Sleep(30 * time.Second)
		synctest.Wait()
		before := r.status()
		late.keep(r.Context(), paused, time.Now())
		if after := r.status(); *after.GoodRatio != *before.GoodRatio || after.Total != before.Total {
			t.Errorf("%+v became %+v", before, after)
		}
		if late.jobs["a"] != nil {
			t.Error("it goes on with an account that is not its own")
		}
	})
}

// An objective of another age counts anew; one that is gone and comes back does, too.
func TestAnotherObjective(t *testing.T) {
	play(t, func(r *rig) {
		m, stop := r.meter()
		defer stop()
		time.Sleep(time.Hour)
		with := func(o *jobs.Objective) {
			job := *r.job
			job.Objective = o
			spec := *r.spec
			spec.Jobs = []*jobs.Job{&job}
			r.job, r.spec = &job, &spec
			m.Replace(&spec)
			time.Sleep(10 * time.Second)
			synctest.Wait()
		}
		if bad := r.bad(); bad != 3600 {
			t.Errorf("%.0f s bad in an hour without a run", bad)
		}
		with(&jobs.Objective{Age: 2 * age, Ratio: 0.9, Window: window})
		if bad := r.bad(); bad > 11 {
			t.Errorf("another age: %.0f s bad", bad)
		}
		with(nil)
		time.Sleep(time.Hour)
		with(&jobs.Objective{Age: 2 * age, Ratio: 0.9, Window: window})
		if st := r.status(); st.Total > 11 {
			t.Errorf("it came back: %.0f s counted", st.Total)
		}
	})
}
