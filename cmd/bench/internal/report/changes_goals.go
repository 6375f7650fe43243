package report

import "math"

// changes holds lags against what was promised, and what must not grow or slow
// down against what it was.
func (r *Report) changes() {
	r.lagGoals()
	r.loadGoals()
	speed := func(beside string) float64 {
		return over(Median(r.writers(beside)), Median(r.writers(BesideNothing)))
	}
	for _, beside := range Besides[1:] {
		r.goal(Goal{}, "changes: writer beside "+beside+" / alone", speed(beside))
	}
}

func (r *Report) lagGoals() {
	millis := func(target, aim float64) Goal { return Goal{Unit: "ms", Limit: AtMost, Target: target, Aim: aim} }
	shown := Goal{Unit: "ms"}
	for _, f := range []struct {
		while, by string
		p50, p99  Goal
	}{
		{WhileAlone, ByWAL, millis(15, 10), millis(60, 25)},
		{WhilePaced, ByWAL, shown, millis(100, 0)},
		{WhileLoaded, ByWAL, shown, millis(1000, 0)},
		{WhileAlone, ByOutbox, shown, shown},
	} {
		l := r.lag(f.while, f.by)
		what := "changes: " + f.while + ", " + f.by
		r.goal(f.p50, what+", p50", ms(l.P50))
		r.goal(f.p99, what+", p99", ms(l.P99))
		if f.by == ByWAL { // pg_recvlogical saw the same commits
			r.goal(Goal{}, what+", p50 / "+ByRecv+"'s", over(l.P50, r.lag(f.while, ByRecv).P50))
		}
	}
}

func (r *Report) loadGoals() {
	l := r.Load
	if l == nil {
		return
	}
	r.goal(Goal{Unit: "rows/s"}, "changes: the writer", l.Made)
	r.goal(Goal{}, "changes: lag in its last sixth / in its first", over(l.Last, l.First))
	r.goal(Goal{Unit: "s"}, "changes: from its stop until all is right", float64(l.Right))
	r.goal(Goal{Unit: "keys", Limit: AtMost}, "changes: wrong after that", float64(l.Wrong))
	r.goal(Goal{}, "changes: keys refreshed / rows changed", over(float64(l.Refreshed), float64(l.Changed)))
}

// ms of nothing measured is no number.
func ms(s Seconds) float64 {
	if s <= 0 {
		return math.NaN()
	}
	return float64(s) * 1000
}
