package report

import (
	"fmt"
	"strings"
)

// The builds that are compared.
const (
	BuildBefore = "before"
	BuildAfter  = "after"
)

// Build is one turn of one build, with a change feed.
type Build struct {
	Name   string  `json:"name"`
	Round  int     `json:"round"`
	Alone  Lag     `json:"alone"`  // one commit at a time
	Paced  Lag     `json:"paced"`  // 200 commits a second
	Loaded Lag     `json:"loaded"` // beside a writer of 10,000 rows a second
	Wait   Lag     `json:"wait"`   // an invalidation with ?wait=1
	Idle   float64 `json:"idle"`   // Redis commands a second that an idle daemon sends
}

// String is one line of progress.
func (b Build) String() string {
	return fmt.Sprintf("one at a time p50 %.1f p99 %.1f ms, 200/s p99 %.1f ms, loaded p99 %.1f ms, ?wait=1 p99 "+
		"%.1f ms, "+
		"idle %.0f commands/s", ms(b.Alone.P50), ms(b.Alone.P99), ms(b.Paced.P99), ms(b.Loaded.P99), ms(b.Wait.P99),
		b.Idle)
}

// buildFigures are what builds are compared by, and what the one at hand is held to.
var buildFigures = []struct {
	what string
	of   func(Build) float64
	goal Goal
}{
	{"COMMIT to fresh, one at a time, p50", func(b Build) float64 { return ms(b.Alone.P50) },
		Goal{Unit: "ms", Limit: AtMost, Target: 3, Aim: 2}},
	{"COMMIT to fresh, one at a time, p99", func(b Build) float64 { return ms(b.Alone.P99) },
		Goal{Unit: "ms", Limit: AtMost, Target: 8, Aim: 5}},
	{"COMMIT to fresh, 200 a second, p99", func(b Build) float64 { return ms(b.Paced.P99) },
		Goal{Unit: "ms", Limit: AtMost, Target: 10}},
	{"COMMIT to fresh, beside 10,000 rows a second, p99", func(b Build) float64 { return ms(b.Loaded.P99) },
		Goal{Unit: "ms", Limit: AtMost, Target: 100}},
	{"POST .../invalidate?wait=1, p99", func(b Build) float64 { return ms(b.Wait.P99) },
		Goal{Unit: "ms", Limit: AtMost, Target: 60}},
	{"Redis commands a second of an idle daemon", func(b Build) float64 { return b.Idle },
		Goal{Limit: AtMost, Target: 50, Aim: 20}},
}

// buildMedian is the median over the rounds of one build.
func (r *Report) buildMedian(name string, of func(Build) float64) float64 {
	var all []float64
	for _, b := range r.Builds {
		if b.Name == name {
			all = append(all, of(b))
		}
	}
	return Median(all)
}

// builds holds the build at hand to what was promised.
func (r *Report) builds() {
	if len(r.Builds) == 0 {
		return
	}
	for _, f := range buildFigures {
		r.goal(f.goal, "changes: "+f.what, r.buildMedian(BuildAfter, f.of))
	}
}

func (r *Report) printBuilds(b *strings.Builder) {
	if len(r.Builds) == 0 {
		return
	}
	b.WriteString("\nTWO BUILDS, in turn; medians of the rounds, milliseconds\n")
	t := table{{"", "rounds", BuildBefore, BuildAfter, "after / before"}}
	for _, f := range buildFigures {
		before, after := r.buildMedian(BuildBefore, f.of), r.buildMedian(BuildAfter, f.of)
		t.row(f.what, fmt.Sprint(len(r.Builds)/2), fmt.Sprintf("%.1f", before), fmt.Sprintf("%.1f", after),
			fmt.Sprintf("%.2f", over(after, before)))
	}
	b.WriteString(t.String())
}
