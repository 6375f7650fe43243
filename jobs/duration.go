package jobs

import (
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// ParseDuration reads Go's syntax plus days in front: 90s, 1h30m, 7d, 1d12h.
func ParseDuration(s string) (time.Duration, error) {
	if n, err := strconv.ParseInt(s, 10, 64); err == nil && n != 0 {
		return 0, wrong("has no unit", "write a duration such as 30s, 5m, 2h or 1d")
	}
	d, err := parseDuration(s)
	if meant := meantDuration(s); err != nil && meant != "" && meant != s {
		return 0, wrong("is not a duration", "write "+meant)
	}
	return d, err
}

// spelledOut matches a number and a unit in words.
var spelledOut = regexp.MustCompile(`^(\d{1,9})(s|sec|secs|seconds?|m|mins?|minutes?|h|hrs?|hours?|d|days?|w|weeks?)$`)

// meantDuration returns what a text most likely means, as a duration is written, or "".
func meantDuration(s string) string {
	compact := strings.ToLower(strings.Join(strings.Fields(s), ""))
	if _, err := parseDuration(compact); err == nil {
		return compact
	}
	m := spelledOut.FindStringSubmatch(compact)
	if m == nil {
		return ""
	}
	if n, err := strconv.Atoi(m[1]); err == nil && m[2][0] == 'w' {
		return strconv.Itoa(7*n) + "d"
	}
	return m[1] + m[2][:1]
}

func parseDuration(s string) (time.Duration, error) {
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
