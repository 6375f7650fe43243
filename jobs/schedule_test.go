package jobs

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/robfig/cron/v3"
)

func schedule(t *testing.T, spec, zone string) *Schedule {
	t.Helper()
	loc, err := time.LoadLocation(zone)
	if err != nil {
		t.Fatal(err)
	}
	s, err := ParseSchedule(spec, loc)
	if err != nil {
		t.Fatalf("%s: %v", spec, err)
	}
	return s
}

func at(t *testing.T, s string) time.Time {
	t.Helper()
	v, err := time.Parse("2006-01-02T15:04:05.999Z07:00", s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// Each row: the ticks that follow a time, in UTC.
func TestNext(t *testing.T) {
	for _, tt := range []struct {
		spec, zone, after string
		want              []string
	}{
		{"*/5 * * * *", "UTC", "2024-05-01T12:00:00Z", []string{"2024-05-01T12:05:00Z", "2024-05-01T12:10:00Z"}},
		{"*/5 * * * *", "UTC", "2024-05-01T11:59:59.5Z", []string{"2024-05-01T12:00:00Z"}},
		{"10 */5 * * * *", "UTC", "2024-05-01T12:00:09Z", []string{"2024-05-01T12:00:10Z", "2024-05-01T12:05:10Z"}},
		{"@hourly", "UTC", "2024-12-31T23:30:00Z", []string{"2025-01-01T00:00:00Z"}},
		{"@hourly", "Asia/Kolkata", "2024-01-01T00:00:00Z", []string{"2024-01-01T00:30:00Z"}},
		{"0 0 29 2 *", "UTC", "2096-03-01T00:00:00Z", []string{"2104-02-29T00:00:00Z"}},
		// the 1st or a Monday
		{"0 0 1 * 1", "UTC", "2024-05-02T00:00:00Z", []string{"2024-05-06T00:00:00Z", "2024-05-13T00:00:00Z"}},
		{"CRON_TZ=Asia/Tokyo 0 9 * * *", "America/New_York", "2024-05-01T00:00:00Z", []string{"2024-05-02T00:00:00Z"}},
		// Wall clocks that change: what is skipped does not fire, what comes twice fires twice.
		{"30 2 * * *", "America/New_York", "2024-03-09T12:00:00Z", []string{"2024-03-11T06:30:00Z"}},
		{"30 1 * * *", "America/New_York", "2024-11-03T00:00:00Z",
			[]string{"2024-11-03T05:30:00Z", "2024-11-03T06:30:00Z", "2024-11-04T06:30:00Z"}},
		{"0 * * * *", "America/New_York", "2024-03-10T06:30:00Z",
			[]string{"2024-03-10T07:00:00Z", "2024-03-10T08:00:00Z"}},
		// Where the cron parser's own Next fires a day late, or not at all.
		{"0 5 25 4 *", "Africa/Cairo", "2024-04-25T08:00:00Z", []string{"2025-04-25T02:00:00Z"}},
		{"0 1 * * 6", "America/Santiago", "2024-09-07T14:00:00Z", []string{"2024-09-14T04:00:00Z"}},
		{"0 2 * * *", "Australia/Lord_Howe", "2024-04-06T11:30:00Z", []string{"2024-04-06T15:30:00Z"}},
		// @every is aligned to 1970, also before it.
		{"@every 30s", "UTC", "2024-05-01T12:00:10Z", []string{"2024-05-01T12:00:30Z", "2024-05-01T12:01:00Z"}},
		{"@every 30s", "America/New_York", "2024-05-01T12:00:30Z", []string{"2024-05-01T12:01:00Z"}},
		{"@every 7s", "UTC", "1970-01-01T00:00:00Z", []string{"1970-01-01T00:00:07Z"}},
		{"@every 1d", "UTC", "1969-12-30T12:00:00Z", []string{"1969-12-31T00:00:00Z", "1970-01-01T00:00:00Z"}},
	} {
		s, tick := schedule(t, tt.spec, tt.zone), at(t, tt.after)
		for _, want := range tt.want {
			tick = s.Next(tick)
			if !tick.Equal(at(t, want)) || tick.Location() != time.UTC {
				t.Errorf("%s in %s after %s: %v, want %s", tt.spec, tt.zone, tt.after, tick, want)
			}
		}
	}
}

func TestPrev(t *testing.T) {
	for _, tt := range []struct{ spec, zone, at, want string }{
		{"*/5 * * * *", "UTC", "2024-05-01T12:05:00Z", "2024-05-01T12:05:00Z"},
		{"*/5 * * * *", "UTC", "2024-05-01T12:04:59.999Z", "2024-05-01T12:00:00Z"},
		{"* * * * * *", "UTC", "2024-05-01T12:04:59.999Z", "2024-05-01T12:04:59Z"},
		{"0 0 29 2 *", "UTC", "2104-02-28T00:00:00Z", "2096-02-29T00:00:00Z"},
		{"0 9 1 1 *", "Europe/Berlin", "2024-12-31T00:00:00Z", "2024-01-01T08:00:00Z"},
		{"30 2 * * *", "America/New_York", "2024-03-10T12:00:00Z", "2024-03-09T07:30:00Z"},
		{"30 1 * * *", "America/New_York", "2024-11-03T12:00:00Z", "2024-11-03T06:30:00Z"},
		{"30 1 * * *", "America/New_York", "2024-11-03T06:00:00Z", "2024-11-03T05:30:00Z"},
		{"@every 30s", "UTC", "2024-05-01T12:00:59.9Z", "2024-05-01T12:00:30Z"},
		{"@every 30s", "UTC", "1969-12-31T23:59:59Z", "1969-12-31T23:59:30Z"},
	} {
		if got, ok := schedule(t, tt.spec, tt.zone).Prev(at(t, tt.at)); !ok || !got.Equal(at(t, tt.want)) {
			t.Errorf("%s in %s at %s: %v %v, want %s", tt.spec, tt.zone, tt.at, got, ok, tt.want)
		}
	}
}

func TestPeriod(t *testing.T) {
	for spec, want := range map[string]time.Duration{
		"*/5 * * * *":     5 * time.Minute,
		"@every 90s":      90 * time.Second,
		"@daily":          24 * time.Hour,
		"0 9 * * 1-5":     72 * time.Hour,
		"*/10 9-17 * * *": 15*time.Hour + 10*time.Minute,
		"50 * * * * *":    time.Minute,
		"0 0 1 * *":       31 * 24 * time.Hour,
		"0 0 29 2 *":      1461 * 24 * time.Hour,
	} {
		if got := schedule(t, spec, "UTC").Period(at(t, "2024-05-01T00:00:00Z")); got != want {
			t.Errorf("%s: %v, want %v", spec, got, want)
		}
	}
	if got := schedule(t, "@daily", "America/New_York").Period(at(t, "2024-05-01T00:00:00Z")); got != 25*time.Hour {
		t.Errorf("a day with the clock put back: %v", got)
	}
}

// clockChanges are days before a change of the clock in some zone of the tests.
var clockChanges = []string{
	"2024-03-08T00:00:00Z", "2024-04-05T00:00:00Z", "2024-04-24T00:00:00Z", "2024-09-06T00:00:00Z",
	"2024-11-01T00:00:00Z", "2010-03-13T00:00:00Z", "2010-11-06T00:00:00Z",
}

// Prev and Next must name the same ticks, from wherever one starts: replicas
// start at different times.
func TestPrevAndNextAgree(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	specs := []string{"*/5 * * * *", "* * * * * *", "7 30 2 * * *", "0 0 * * *", "0 1 * * 6", "15 1,2 * 3,11 *",
		"0 0 31 * *", "@every 7s", "@every 1d", "@weekly", "30 1 1 * 0"}
	zones := []string{"UTC", "America/New_York", "Africa/Cairo", "Australia/Lord_Howe", "America/Santiago",
		"America/Havana", "Asia/Kathmandu", "Africa/Casablanca"}
	for _, spec := range specs {
		for _, zone := range zones {
			s := schedule(t, spec, zone)
			for i := range 12 {
				when := time.Unix(random.Int64N(4e9), random.Int64N(1e9))
				if i%2 == 0 { // around a change of the clock in one of the zones
					change := at(t, clockChanges[random.IntN(len(clockChanges))])
					when = change.Add(time.Duration(random.Int64N(int64(72 * time.Hour))))
				}
				prev, ok := s.Prev(when)
				if !ok {
					t.Fatalf("%s in %s: nothing before %v", spec, zone, when)
				}
				next := s.Next(when)
				if prev.After(when) || !next.After(when) {
					t.Fatalf("%s in %s at %v: prev %v next %v", spec, zone, when, prev, next)
				}
				if got := s.Next(prev); !got.Equal(next) {
					t.Fatalf("%s in %s at %v: next %v, but next of prev %v is %v", spec, zone, when, next, prev, got)
				}
				if got, _ := s.Prev(next); !got.Equal(next) {
					t.Fatalf("%s in %s: prev of the tick %v is %v", spec, zone, next, got)
				}
				if got, _ := s.Prev(next.Add(-1)); !got.Equal(prev) {
					t.Fatalf("%s in %s: prev just before %v is %v, not %v", spec, zone, next, got, prev)
				}
			}
		}
	}
}

// Minute by minute over the changes of the clock: the ticks are just the minutes
// whose wall time matches.
func TestNextSkipsNoWallTime(t *testing.T) {
	for _, zone := range []string{"America/New_York", "Africa/Cairo", "Australia/Lord_Howe", "America/Santiago",
		"America/Havana", "America/St_Johns"} {
		for _, spec := range []string{"30 * * * *", "0 0 * * *", "15 1 * * *", "45 23 * * 6,0,5", "0,30 0-3 * * *"} {
			s := schedule(t, spec, zone)
			for _, from := range clockChanges {
				start := at(t, from)
				tick := s.Next(start)
				end := start.Add(72 * time.Hour)
				for minute := start.Add(time.Minute); minute.Before(end); minute = minute.Add(time.Minute) {
					local := minute.In(s.zone)
					if matches := s.line.matchesDay(local) && has(s.line.Hour, local.Hour()) &&
						has(s.line.Minute, local.Minute()); matches != tick.Equal(minute) {
						t.Fatalf("%s in %s: %v matches %v, but the tick is %v", spec, zone, local, matches, tick)
					} else if matches {
						tick = s.Next(tick)
					}
				}
			}
		}
	}
}

// In UTC and within its five years, the cron parser's own Next is right, and ours
// must be the same.
func TestNextAgreesWithCronInUTC(t *testing.T) {
	parser := cron.NewParser(cron.SecondOptional | cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow |
		cron.Descriptor)
	random := rand.New(rand.NewPCG(3, 4))
	for _, spec := range []string{"*/7 * * * *", "5-10/2 3 * * * *", "0 0 13 * 5", "@monthly", "@yearly",
		"0 12 29 2 *", "59 59 23 31 12 ?", "0 8 ? jan,JUN MON-FRI"} {
		theirs, err := parser.Parse(spec)
		if err != nil {
			t.Fatal(err)
		}
		ours := schedule(t, spec, "UTC")
		for range 50 {
			when := time.Unix(random.Int64N(3.7e9), 0).UTC()
			if want, got := theirs.Next(when), ours.Next(when); !got.Equal(want) {
				t.Fatalf("%s after %v: %v, want %v", spec, when, got, want)
			}
		}
	}
}

func TestScheduleKeepsItsText(t *testing.T) {
	for _, spec := range []string{"*/5 * * * *", "@every 30s", "@hourly"} {
		if got := schedule(t, spec, "UTC").String(); got != spec {
			t.Errorf("String = %q, want %q", got, spec)
		}
	}
}

func FuzzSchedule(f *testing.F) {
	for _, seed := range []string{"*/5 * * * *", "@every 30s", "TZ=0", "CRON_TZ=", ", * * * *", "0 0 30 2 *",
		"TZ=UTC @every 5s", "1-5/2 * * * * *", "@every 1d"} {
		f.Add(seed)
	}
	from := time.Date(2024, 2, 29, 12, 0, 0, 500, time.UTC)
	f.Fuzz(func(t *testing.T, spec string) {
		s, err := ParseSchedule(spec, nil)
		if err != nil {
			return
		}
		next := s.Next(from)
		if !next.After(from) || next.Nanosecond() != 0 {
			t.Fatalf("%q: next %v", spec, next)
		}
		if prev, ok := s.Prev(from); !ok || prev.After(from) || !s.Next(prev).Equal(next) {
			t.Fatalf("%q: prev %v %v, next %v", spec, prev, ok, next)
		}
		if s.Period(from) <= 0 {
			t.Fatalf("%q: period %v", spec, s.Period(from))
		}
	})
}
