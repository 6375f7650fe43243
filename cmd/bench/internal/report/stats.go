package report

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// Median is the middle value, or the mean of the two in the middle; 0 of none.
func Median[T ~float64](values []T) T {
	if len(values) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(values))
	half := len(s) / 2
	if len(s)%2 == 1 {
		return s[half]
	}
	return (s[half-1] + s[half]) / 2
}

// Percentile is the smallest of the sorted values that at least share of them do
// not exceed; zero of none.
func Percentile[T cmp.Ordered](sorted []T, share float64) T {
	if len(sorted) == 0 {
		var zero T
		return zero
	}
	// 0.999 of 1000 is a hair over 999 in binary; it must not become 1000.
	const hair = 1e-9
	rank := int(math.Ceil(share*float64(len(sorted)) - hair))
	return sorted[min(max(rank, 1), len(sorted))-1]
}

// NewLatency sums up GETs; it sorts them.
func NewLatency(state string, round int, took []time.Duration) Latency {
	slices.Sort(took)
	l := Latency{State: state, Round: round, Gets: len(took)}
	l.P50, l.P99, l.P999 = In(Percentile(took, 0.50)), In(Percentile(took, 0.99)), In(Percentile(took, 0.999))
	l.Max = In(Percentile(took, 1))
	return l
}

// over divides; it is no number where one of the two is not known.
func over[T ~float64](a, b T) float64 {
	if a <= 0 || b <= 0 {
		return math.NaN()
	}
	return float64(a / b)
}
