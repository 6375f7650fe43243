package jobs

import (
	"time"

	"github.com/robfig/cron/v3"
)

// nextMatch returns the first whole second after a time whose wall clock, in the
// schedule's zone, matches the fields. robfig/cron parses well, but its own Next
// fires on the wrong day where a clock change skips midnight (Cairo, Santiago)
// and gives other ticks from another starting point, so that replicas would
// disagree. By this definition a wall time that a clock change skips does not
// fire, and one that it repeats fires twice.
func nextMatch(s *cron.SpecSchedule, after time.Time) time.Time {
	if s.Second == 0 || s.Minute == 0 || s.Hour == 0 { // a field such as "," names nothing
		return time.Time{}
	}
	t := after.Truncate(time.Second).Add(time.Second).In(s.Location)
	for limit := t.Add(horizon); t.Before(limit); {
		hour, minute, second := t.Clock()
		intoHour := time.Duration(minute)*time.Minute + time.Duration(second)*time.Second
		switch {
		case !matchesDay(s, t):
			t = leap(t, 24*time.Hour-time.Duration(hour)*time.Hour-intoHour)
		case !has(s.Hour, hour):
			t = leap(t, time.Hour-intoHour)
		case !has(s.Minute, minute):
			t = t.Add(time.Minute - time.Duration(second)*time.Second)
		case !has(s.Second, second):
			t = t.Add(time.Second)
		default:
			return t.UTC()
		}
	}
	return time.Time{}
}

// leap moves on by d, or, when the clock is changed on the way, by no more than
// to the next minute: clocks change on minutes, so no wall time is jumped over.
func leap(t time.Time, d time.Duration) time.Time {
	next := t.Add(d)
	_, before := t.Zone()
	if _, after := next.Zone(); before == after {
		return next
	}
	return t.Add(time.Minute - time.Duration(t.Second())*time.Second)
}

// matchesDay follows cron: with both a day of the month and a day of the week
// given, either is enough.
func matchesDay(s *cron.SpecSchedule, t time.Time) bool {
	const starBit = 1 << 63 // the parser's mark for a field that was *
	if !has(s.Month, int(t.Month())) {
		return false
	}
	dom, dow := has(s.Dom, t.Day()), has(s.Dow, int(t.Weekday()))
	if s.Dom&starBit != 0 || s.Dow&starBit != 0 {
		return dom && dow
	}
	return dom || dow
}

func has(bits uint64, n int) bool { return bits&(1<<n) != 0 }
