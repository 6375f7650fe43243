package specfile

import (
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/stokerhq/stoker/jobs"
)

// parsePositive reads a duration that makes sense as a TTL or a time limit.
func parsePositive(s string) (time.Duration, error) {
	d, err := jobs.ParseDuration(s)
	switch {
	case err != nil:
		return 0, err
	case d <= 0:
		return 0, wrong("is not above zero", "write a duration such as 30s, 5m, 2h or 1d")
	case d < time.Millisecond:
		return 0, wrong("is shorter than 1ms", "Redis and Postgres count in milliseconds")
	}
	return d, nil
}

// parseTimeout reads the limit of a run, which must end before its task does.
func parseTimeout(s string) (time.Duration, error) {
	d, err := parsePositive(s)
	if err == nil && d > jobs.RunLimit {
		return 0, wrong("is longer than a run may take", "write at most 24h")
	}
	return d, err
}

// parseGrace reads a duration that may be zero.
func parseGrace(s string) (time.Duration, error) {
	d, err := jobs.ParseDuration(s)
	switch {
	case err != nil:
		return 0, err
	case d < 0:
		return 0, wrong("is below zero", "write 0 to remove values at once, or a duration such as 30s")
	case d > 0 && d < time.Millisecond:
		return 0, wrong("is shorter than 1ms", "Redis counts in milliseconds")
	}
	return d, nil
}

func parseJitter(s string) (float64, error) {
	return parseShare(s, "write it as in 10%, or 0 for none", "it is the share of the TTL that is taken off at random")
}

func parseShrinkGuard(s string) (float64, error) {
	return parseShare(s, "write it as in 50%", "it is the share of its keys that a run may remove")
}

func parseHeadroom(s string) (float64, error) {
	const meaning = "it is the share of maxmemory that runs leave free, at most 90%"
	share, err := parseShare(s, "write it as in 10%, or 0 for none", meaning)
	if err == nil && share > 0.9 {
		return 0, wrong("leaves runs no room", meaning)
	}
	return share, err
}

// parseShare reads "10%" as 0.1. The hints say how it is written and what it is.
func parseShare(s, syntax, meaning string) (float64, error) {
	number, percent := strings.CutSuffix(s, "%")
	v, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	switch {
	case err != nil || !percent && v != 0:
		return 0, wrong("is not a percentage", syntax)
	case !(v >= 0 && v <= 100): // so that NaN is refused too
		return 0, wrong("is outside 0% to 100%", meaning)
	}
	return v / 100, nil
}

// parseBytes reads a size: 1024, 64KiB, 16MiB, 1GiB, or decimal KB, MB, GB.
func parseBytes(s string) (int, error) {
	const hint = "write a size such as 1048576, 64KiB, 16MiB or 1GiB"
	digits := strings.TrimRight(s, "BKMGIikmgb \t")
	unit := map[string]int{
		"": 1, "b": 1, "kb": 1e3, "mb": 1e6, "gb": 1e9, "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30,
	}[strings.ToLower(strings.TrimSpace(s[len(digits):]))]
	n, err := strconv.Atoi(digits)
	switch {
	case err != nil || unit == 0:
		return 0, wrong("is not a size", hint)
	case n <= 0:
		return 0, wrong("is not above zero", hint)
	case n > math.MaxInt/unit:
		return 0, wrong("is too large", hint)
	}
	return n * unit, nil
}
