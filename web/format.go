package web

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// duration words d with at most two units, as a person would: 840 ms, 2.4 s,
// 3 min 20 s, 5 h 12 min, 2 d 3 h.
func duration(d time.Duration) string {
	d = max(d, 0)
	switch {
	case d == 0:
		return "0 s"
	case d < time.Millisecond:
		return fmt.Sprintf("%d µs", d.Microseconds())
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < 10*time.Second && d%time.Second != 0:
		return fmt.Sprintf("%.1f s", d.Truncate(100*time.Millisecond).Seconds())
	case d < time.Minute:
		return fmt.Sprintf("%d s", d/time.Second)
	case d < time.Hour:
		return twoUnits(d, time.Minute, "min", time.Second, "s")
	case d < 24*time.Hour:
		return twoUnits(d, time.Hour, "h", time.Minute, "min")
	}
	return twoUnits(d, 24*time.Hour, "d", time.Hour, "h")
}

func twoUnits(d, big time.Duration, bigName string, small time.Duration, smallName string) string {
	text := fmt.Sprintf("%d %s", d/big, bigName)
	if rest := d % big / small; rest > 0 {
		text += fmt.Sprintf(" %d %s", rest, smallName)
	}
	return text
}

// roughly is duration without fractions, for what changes while one looks at it.
func roughly(d time.Duration) string {
	if d < time.Second {
		return "0 s"
	}
	return duration(d.Truncate(time.Second))
}

// ago and in word a moment as seen from now. What is past is shown by its largest
// unit alone: its exact time stands beside it or in the tooltip.
func ago(now, at time.Time) string {
	d := now.Sub(at)
	for _, unit := range []time.Duration{24 * time.Hour, time.Hour, time.Minute} {
		if d >= unit {
			d = d.Truncate(unit)
			break
		}
	}
	return roughly(d) + " ago"
}

func in(now, at time.Time) string {
	// Rounded up: "in 0 s" for a whole second reads as if it were late.
	return "in " + roughly((at.Sub(now) + time.Second - 1).Truncate(time.Second))
}

// utc writes a moment in full.
func utc(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05") + " UTC" }

// clock writes a moment as short as today allows.
func clock(now, t time.Time) string {
	if now.UTC().Format(time.DateOnly) == t.UTC().Format(time.DateOnly) {
		return t.UTC().Format("15:04:05 UTC")
	}
	return t.UTC().Format("2006-01-02 15:04 UTC")
}

// count groups digits by thousands: 1,234,567.
func count(n int64) string {
	digits := strconv.FormatInt(n, 10)
	sign := ""
	if n < 0 {
		sign, digits = "-", digits[1:]
	}
	var b strings.Builder
	for i, d := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(d)
	}
	return sign + b.String()
}

// noun is the form that goes with n.
func noun(n int64, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

// quantity is n with its noun.
func quantity(n int64, one, many string) string { return count(n) + " " + noun(n, one, many) }

// size words bytes in the units of the spec's own sizes.
func size(n int64) string {
	const step = 1024
	if n < step {
		return fmt.Sprintf("%d B", n)
	}
	f := float64(n)
	for _, unit := range []string{"KiB", "MiB", "GiB"} {
		if f /= step; f < step {
			return fmt.Sprintf("%.1f %s", f, unit)
		}
	}
	return fmt.Sprintf("%.1f TiB", f/step)
}

// rate is n a second over d.
func rate(n int64, d time.Duration) string {
	if d <= 0 {
		return "–"
	}
	return count(int64(float64(n) / d.Seconds()))
}
