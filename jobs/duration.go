package jobs

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// ParseDuration reads Go's syntax plus days in front: 90s, 1h30m, 7d, 1d12h.
func ParseDuration(s string) (time.Duration, error) {
	if n, err := strconv.ParseInt(s, 10, 64); err == nil && n != 0 {
		return 0, wrong("has no unit", "write a duration such as 30s, 5m, 2h or 1d")
	}
	head, tail, hasDays := strings.Cut(s, "d")
	if !hasDays {
		return goDuration(s)
	}
	number, negative := strings.CutPrefix(head, "-")
	if number == "" || strings.Trim(number, "0123456789.") != "" || strings.HasPrefix(tail, "-") ||
		strings.HasPrefix(tail, "+") {
		return goDuration("")
	}
	days, err := goDuration(number + "h")
	if err != nil {
		return 0, err
	}
	var rest time.Duration
	if tail != "" {
		if rest, err = goDuration(tail); err != nil {
			return 0, err
		}
	}
	if days > (math.MaxInt64-rest)/24 {
		return 0, wrong("is too long", "the longest is some 290 years")
	}
	if days = 24*days + rest; negative {
		days = -days
	}
	return days, nil
}

func goDuration(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if err != nil {
		return 0, wrong("is not a duration", "write a number and a unit, such as 30s, 5m, 2h or 1d")
	}
	return d, nil
}
