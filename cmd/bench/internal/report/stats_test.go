package report

import (
	"math"
	"testing"
	"time"
)

func TestMedian(t *testing.T) {
	for _, tt := range []struct {
		values []Seconds
		want   Seconds
	}{
		{nil, 0},
		{[]Seconds{3}, 3},
		{[]Seconds{5, 1}, 3},
		{[]Seconds{9, 1, 2}, 2},
		{[]Seconds{4, 1, 3, 2}, 2.5},
	} {
		if got := Median(tt.values); got != tt.want {
			t.Errorf("median of %v is %v, want %v", tt.values, got, tt.want)
		}
	}
	given := []Seconds{2, 1}
	Median(given)
	if given[0] != 2 {
		t.Error("the caller's values were put in order")
	}
}

func TestPercentile(t *testing.T) {
	upTo := func(n int) []int {
		s := make([]int, n)
		for i := range s {
			s[i] = i + 1
		}
		return s
	}
	for _, tt := range []struct {
		n     int
		share float64
		want  int
	}{
		{0, 0.5, 0},
		{1, 0.5, 1}, {1, 0.99, 1},
		{2, 0.5, 1}, {3, 0.5, 2},
		{100, 0.99, 99}, {100, 0.999, 100}, {101, 0.99, 100},
		{1000, 0.999, 999}, {10000, 0.999, 9990},
		{10, 0, 1}, {10, 1, 10},
	} {
		if got := Percentile(upTo(tt.n), tt.share); got != tt.want {
			t.Errorf("%g of 1 to %d is %d, want %d", tt.share, tt.n, got, tt.want)
		}
	}
}

func TestNewLatency(t *testing.T) {
	var took []time.Duration
	for i := range 1000 {
		took = append(took, time.Duration(1000-i)*time.Millisecond)
	}
	want := Latency{State: "s", Round: 2, Gets: 1000, P50: 0.5, P99: 0.99, P999: 0.999, Max: 1}
	if got := NewLatency("s", 2, took); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got := NewLatency("none", 0, nil); got != (Latency{State: "none"}) {
		t.Errorf("of nothing: %+v", got)
	}
}

// What showed before its commit was acknowledged took no time; what never showed
// is counted.
func TestNewLag(t *testing.T) {
	want := Lag{While: "w", By: "b", Commits: 3, Lost: 1, P50: 1, P90: 30, P99: 30, Max: 30}
	if got := NewLag("w", "b", 1, []time.Duration{30 * time.Second, -time.Second, time.Second}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got := NewLag("w", "b", 0, []time.Duration{-time.Second}); got.P50 != 0 || got.Max != 0 {
		t.Errorf("shown too soon: %+v", got)
	}
}

func TestOver(t *testing.T) {
	if got := over(Seconds(3), Seconds(2)); got != 1.5 {
		t.Errorf("got %v", got)
	}
	for _, unknown := range [][2]Seconds{{0, 1}, {1, 0}, {0, 0}} {
		if got := over(unknown[0], unknown[1]); !math.IsNaN(got) {
			t.Errorf("%v is %v", unknown, got)
		}
	}
}
