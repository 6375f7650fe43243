// Package wording words amounts and moments for people: on the pages, and where else a status is read.
package wording

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Duration words d with at most two units, as a person would: 840 ms, 2.4 s,
// 3 min 20 s, 5 h 12 min, 2 d 3 h.
func Duration(d time.Duration) string {
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

// Roughly is Duration without fractions, for what changes while one looks at it.
func Roughly(d time.Duration) string {
	if d < time.Second {
		return "0 s"
	}
	return Duration(d.Truncate(time.Second))
}

// Ago words a moment of the past as seen from now, by its largest unit alone: its exact time stands beside it or in
// the tooltip.
func Ago(now, at time.Time) string {
	d := now.Sub(at)
	for _, unit := range []time.Duration{24 * time.Hour, time.Hour, time.Minute} {
		if d >= unit {
			d = d.Truncate(unit)
			break
		}
	}
	return Roughly(d) + " ago"
}

// In words a moment to come as seen from now.
func In(now, at time.Time) string {
	// Rounded up: "in 0 s" for a whole second reads as if it were late.
	return "in " + Roughly((at.Sub(now) + time.Second - 1).Truncate(time.Second))
}

// UTC writes a moment in full.
func UTC(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05") + " UTC" }

// Clock writes a moment as short as today allows.
func Clock(now, t time.Time) string {
	if now.UTC().Format(time.DateOnly) == t.UTC().Format(time.DateOnly) {
		return t.UTC().Format("15:04:05 UTC")
	}
	return t.UTC().Format("2006-01-02 15:04 UTC")
}

// Count groups digits by thousands: 1,234,567.
func Count(n int64) string {
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

// Noun is the form that goes with n.
func Noun(n int64, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

// Quantity is n with its noun.
func Quantity(n int64, one, many string) string { return Count(n) + " " + Noun(n, one, many) }

// Size words bytes in the units of the spec's own sizes.
func Size(n int64) string {
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

// Rate is n a second over d.
func Rate(n int64, d time.Duration) string {
	if d <= 0 {
		return "–"
	}
	return Count(int64(float64(n) / d.Seconds()))
}
