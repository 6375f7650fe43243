package jobs

import (
	"strings"
	"time"
)

// horizon is how far Next and Prev look. It covers the longest wait that a cron
// line can ask for: 29 February on a given weekday, across a century that is no
// leap year.
const horizon = 41 * 366 * 24 * time.Hour

// Schedule is when a job runs. It is safe for concurrent use.
type Schedule struct {
	text  string
	every int64          // seconds of @every; 0: a cron line
	line  *cronLine      // nil: @every
	zone  *time.Location // in which the line is read
}

// ParseSchedule parses a cron line of 5 or 6 fields (seconds first) as crontab(5)
// reads it, a descriptor such as @hourly, or "@every 30s". A cron line is read in
// loc (nil: UTC), unless it names its own zone with a leading CRON_TZ= or TZ=. @every fires
// at the multiples of its duration since 1970, so that all replicas agree. The
// error says what is wrong and how to mend it; a line that never fires is one.
func ParseSchedule(spec string, loc *time.Location) (*Schedule, error) {
	text := strings.TrimSpace(spec)
	if n := len("@every"); len(text) >= n && strings.EqualFold(text[:n], "@every") {
		return parseEvery(text, text[n:])
	}
	line, err := parseCron(text)
	if err != nil {
		return nil, err
	}
	s := &Schedule{text: text, line: line, zone: time.UTC}
	if line.zone != nil {
		s.zone = line.zone
	} else if loc != nil {
		s.zone = loc
	}
	// From a fixed day, so that a spec is not right today and wrong tomorrow.
	if s.Next(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)).IsZero() {
		return nil, wrong("never fires", "no time matches all of its fields")
	}
	return s, nil
}

func parseEvery(text, rest string) (*Schedule, error) {
	const hint = "write whole seconds, as in @every 30s"
	d, err := ParseDuration(strings.TrimSpace(rest))
	switch {
	case err != nil || !strings.HasPrefix(rest, " "):
		return nil, wrong("is not @every and a duration", hint)
	case d < time.Second || d%time.Second != 0:
		return nil, wrong("is not in whole seconds from 1s up", hint)
	}
	return &Schedule{text: text, every: int64(d / time.Second)}, nil
}

// String returns the schedule as it was written.
func (s *Schedule) String() string { return s.text }

// Upcoming returns the next n ticks after a time, in the schedule's own zone; @every
// is in UTC.
func (s *Schedule) Upcoming(after time.Time, n int) []time.Time {
	zone := s.zone
	if zone == nil {
		zone = time.UTC
	}
	var ticks []time.Time
	for tick := s.Next(after); !tick.IsZero() && len(ticks) < n; tick = s.Next(tick) {
		ticks = append(ticks, tick.In(zone))
	}
	return ticks
}

// Next returns the first tick strictly after a time, in UTC and whole seconds,
// or the zero time when none comes in the next forty years.
func (s *Schedule) Next(after time.Time) time.Time {
	if s.every > 0 {
		return time.Unix((floorDiv(after.Unix(), s.every)+1)*s.every, 0).UTC()
	}
	return nextMatch(s.line, s.zone, after)
}

// Prev returns the last tick at or before a time, in UTC, and false when there
// was none in the last forty years.
func (s *Schedule) Prev(at time.Time) (time.Time, bool) {
	if s.every > 0 {
		return time.Unix(floorDiv(at.Unix(), s.every)*s.every, 0).UTC(), true
	}
	// Some tick, not far back; then halve the stretch in which a later one may be.
	var tick time.Time
	for back := time.Second; back < 2*horizon && tick.IsZero(); back *= 2 {
		if n := s.Next(at.Add(-back)); !n.IsZero() && !n.After(at) {
			tick = n
		}
	}
	if tick.IsZero() {
		return time.Time{}, false
	}
	for free := at; free.Sub(tick) >= time.Second; { // no tick in (free, at]
		middle := tick.Add(free.Sub(tick) / 2)
		if n := s.Next(middle); !n.IsZero() && !n.After(at) {
			tick = n
		} else {
			free = middle
		}
	}
	return tick, true
}

// Period returns the longest wait between two ticks that follow each other,
// among the next thousand ticks or those of the next year, whichever is fewer.
func (s *Schedule) Period(at time.Time) time.Duration {
	if s.every > 0 {
		return time.Duration(s.every) * time.Second
	}
	const ticks, year = 1000, 366 * 24 * time.Hour
	var longest time.Duration
	tick := s.Next(at)
	for i := 0; i < ticks && !tick.IsZero() && (longest == 0 || tick.Sub(at) < year); i++ {
		next := s.Next(tick)
		if !next.IsZero() {
			longest = max(longest, next.Sub(tick))
		}
		tick = next
	}
	return longest
}

// floorDiv rounds down, also for times before 1970.
func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// nextMatch returns the first whole second after a time whose wall clock, in the
// schedule's zone, matches the fields, from whatever time one starts: replicas
// must agree. By this definition a wall time that a clock change skips does not
// fire, and one that it repeats fires twice.
func nextMatch(line *cronLine, zone *time.Location, after time.Time) time.Time {
	t := after.Truncate(time.Second).Add(time.Second).In(zone)
	for limit := t.Add(horizon); t.Before(limit); {
		hour, minute, second := t.Clock()
		intoHour := time.Duration(minute)*time.Minute + time.Duration(second)*time.Second
		switch {
		case !line.matchesDay(t):
			t = leap(t, 24*time.Hour-time.Duration(hour)*time.Hour-intoHour)
		case !has(line.Hour, hour):
			t = leap(t, time.Hour-intoHour)
		case !has(line.Minute, minute):
			t = t.Add(time.Minute - time.Duration(second)*time.Second)
		case !has(line.Second, second):
			t = t.Add(time.Second)
		default:
			return t.UTC()
		}
	}
	return time.Time{}
}

// leap moves on by d, or, when the clock is changed on the way, by a part of it that
// ends before the change, or to the next minute: clocks change on minutes, so no wall
// time is jumped over.
func leap(t time.Time, d time.Duration) time.Time {
	_, before := t.Zone()
	for ; d > time.Minute; d /= 2 {
		next := t.Add(d)
		if _, after := next.Zone(); before == after {
			return next.Truncate(time.Second)
		}
	}
	return t.Add(time.Minute - time.Duration(t.Second())*time.Second)
}

// matchesDay follows cron: with both a day of the month and a day of the week
// given, either is enough; where one of the fields begins with *, as */2 does,
// both must match.
func (l *cronLine) matchesDay(t time.Time) bool {
	if !has(l.Month, int(t.Month())) {
		return false
	}
	dom, dow := has(l.Dom, t.Day()), has(l.Dow, int(t.Weekday()))
	if l.bothDays {
		return dom && dow
	}
	return dom || dow
}

func has(bits uint64, n int) bool { return bits&(1<<n) != 0 }
