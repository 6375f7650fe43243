package objective

import (
	"context"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stokerhq/stoker/jobs"
)

// The budget is 1 % of 30 days, 7.2 hours; what was bad leaves it when the window has passed.
func TestBudget(t *testing.T) {
	play(t, func(r *rig) {
		r.set(func() { r.present = 0 })
		r.complete(nil)
		_, stop := r.meter()
		defer stop()
		time.Sleep(72 * time.Minute)
		synctest.Wait()
		st := r.status()
		if st.Budget != 25920 || math.Abs(st.BudgetLeft-25920+72*60) > 1 || math.Abs(st.LeftRatio()-5.0/6) > 0.001 {
			t.Errorf("72 minutes bad: %v of %v left", st.BudgetLeft, st.Budget)
		}
		if st.Text() != "6 h of 7 h 12 min left" || st.Goal() != "99 % within 1 min, over 30 d" {
			t.Errorf("%s: %s", st.Goal(), st.Text())
		}
		for _, b := range st.Burn {
			if math.Abs(b.Rate-100) > 0.001 {
				t.Errorf("all is bad, and the burn rate over %s is %v", b.Over, b.Rate)
			}
		}
		// an account that has nothing to look at between two times is made good by hand: 30 days take too many looks
		j := measured{job: r.job, account: begin(r.job.Objective, r.began)}
		at := r.began
		step := func(d time.Duration, good bool) {
			at = at.Add(d)
			o := observation{known: true, epoch: 3, history: 2}
			if good {
				o.confirmed, o.warmUntil = at.UnixMilli(), at.Add(100*24*time.Hour).UnixMilli()
				j.account.Age = (100 * 24 * time.Hour).Milliseconds()
			} else {
				j.account.Confirmed = 0
			}
			j.count(at, o)
		}
		step(0, false)
		step(2*time.Hour, true) // 2 h bad
		step(22*time.Hour, false)
		r.wantAccount(&j, at, 22.0/24, 0, 100*2.0/24)
		step(time.Hour, true) // 1 h bad
		r.wantAccount(&j, at, 22.0/25, 100, 100*3.0/25)
		step(29*24*time.Hour+12*time.Hour, true)
		r.wantAccount(&j, at, 1-1.0/720, 0, 0) // the 2 h of the first day have left the window
	})
}

// kept is an account as it is read.
type kept struct {
	state string
	marks map[string]string
}

// Budget implements Budgets.
func (k kept) Budget(_ context.Context, _ string, fields ...string) (string, []string, error) {
	list := make([]string, len(fields))
	for i, field := range fields {
		list[i] = k.marks[field]
	}
	return k.state, list, nil
}

// wantAccount holds what is read of an account to its good ratio, and its burn rates over an hour and three days.
func (r *rig) wantAccount(j *measured, at time.Time, good, hour, days float64) {
	r.Helper()
	k := kept{state: j.account.String(), marks: make(map[string]string)}
	for _, p := range j.passed {
		k.marks[p.field] = p.String()
	}
	for _, field := range j.old {
		delete(k.marks, field)
	}
	job := *j.job
	o := *job.Objective
	o.Age = time.Duration(j.account.Age) * time.Millisecond
	job.Objective = &o
	st, err := Read(r.Context(), k, &job, at)
	if err != nil {
		r.Fatal(err)
	}
	// a mark lies back by as much as the grid is wide
	if math.Abs(*st.GoodRatio-good) > 0.001 || math.Abs(st.Burn[0].Rate-hour) > 9 ||
		math.Abs(st.Burn[2].Rate-days) > 0.5 {
		r.Errorf("after %s: %v good, burn %v; want %v, %v and %v", at.Sub(r.began), *st.GoodRatio, st.Burn, good, hour,
			days)
	}
	if n := len(k.marks); n > 300 {
		r.Errorf("%d marks are kept", n)
	}
}

// A long time without a count leaves the marks that a window needs, and no more.
func TestMarksAreBounded(t *testing.T) {
	o := &jobs.Objective{Age: age, Ratio: 0.99, Window: window}
	now := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	a := begin(o, now)
	marks := make(map[string]bool)
	for _, d := range []time.Duration{time.Second, 24 * time.Hour, 7 * time.Hour, 400 * 24 * time.Hour, time.Minute,
		31 * 24 * time.Hour, 80 * 24 * time.Hour, 12 * time.Hour} {
		now = now.Add(d)
		passed, old := a.advance(now.UnixMilli(), window)
		if len(passed) > 300 {
			t.Errorf("%d marks after %s", len(passed), d)
		}
		for _, p := range passed {
			marks[p.field] = true
		}
		for _, field := range old {
			delete(marks, field)
		}
		if len(marks) > 300 {
			t.Errorf("%d marks after %s", len(marks), d)
		}
		for _, span := range append(Spans, window) {
			at, field := back(now.UnixMilli(), span, window)
			if at > a.Begin && !marks[field] {
				t.Errorf("after %s there is no mark of %s ago", d, span)
			}
		}
	}
	if a.Good != 0 || a.Until != now.UnixMilli() {
		t.Errorf("%+v", a)
	}
}
