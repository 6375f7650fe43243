package report

import (
	"strings"
	"testing"
	"time"
)

// Two builds are compared by the medians of their rounds, and only the one at hand is held to goals.
func TestBuilds(t *testing.T) {
	lag := func(ms int) Lag { return NewLag("", "", 0, []time.Duration{time.Duration(ms) * time.Millisecond}) }
	r := &Report{Rounds: 3}
	for i, after := range []int{2, 9, 3} {
		r.Builds = append(r.Builds,
			Build{Name: BuildBefore, Round: i + 1, Alone: lag(6), Paced: lag(12), Loaded: lag(25), Wait: lag(30),
				Idle: 600},
			Build{Name: BuildAfter, Round: i + 1, Alone: lag(after), Paced: lag(3), Loaded: lag(8), Wait: lag(61),
				Idle: 45})
	}
	r.builds()
	reached := map[string]bool{}
	for _, g := range r.Goals {
		reached[g.What] = g.Reached
	}
	for what, want := range map[string]bool{
		"changes: COMMIT to fresh, one at a time, p50":       true, // 3, the median of 2, 9 and 3
		"changes: POST .../invalidate?wait=1, p99":           false,
		"changes: Redis commands a second of an idle daemon": true,
	} {
		if got, there := reached[what]; !there || got != want {
			t.Errorf("%s: reached %v, want %v (there: %v)", what, got, want, there)
		}
	}
	var b strings.Builder
	r.printBuilds(&b)
	for _, want := range []string{"COMMIT to fresh, one at a time, p50", "0.50", "0.07"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
}
