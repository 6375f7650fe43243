package report

import (
	"fmt"
	"slices"
	"strings"
)

func (r *Report) printLags(b *strings.Builder) {
	if len(r.Lags) == 0 {
		return
	}
	b.WriteString("\nCHANGES: from COMMIT acknowledged to shown, milliseconds\n")
	t := table{{"while", "shown by", "commits", "p50", "p90", "p99", "max", "lost"}}
	millis := func(s Seconds) string { return fmt.Sprintf("%.1f", float64(s)*1000) }
	for _, l := range r.Lags {
		t.row(l.While, l.By, count(int64(l.Commits)), millis(l.P50), millis(l.P90), millis(l.P99), millis(l.Max),
			count(int64(l.Lost)))
	}
	b.WriteString(t.String())
}

func (r *Report) printLoad(b *strings.Builder) {
	l := r.Load
	if l == nil {
		return
	}
	fmt.Fprintf(b, "\nA WRITER for %s, held to %s changed rows a second\n", clock(l.For), count(int64(l.Wanted)))
	bore := ""
	if l.Made < held*l.Wanted {
		bore = ": the machine bears no more"
	}
	t := table{}
	t.row("rows a second it made", count(int64(l.Made))+bore)
	t.row("median lag in its first sixth", fmt.Sprintf("%.1f ms", float64(l.First)*1000))
	t.row("median lag in its last sixth", fmt.Sprintf("%.1f ms", float64(l.Last)*1000))
	t.row("log not sent when it stopped", count(l.Unsent)+" bytes")
	t.row("log not acknowledged then", count(l.Unacked)+" bytes")
	t.row("wrong of "+count(l.Keys)+" keys in the end", count(l.Wrong))
	settled := "none was wrong after"
	if l.Wrong > 0 {
		settled = "given up after"
	}
	t.row(settled, fmt.Sprintf("%.2f s", float64(l.Right)))
	t.row("rows changed", count(l.Changed))
	t.row("keys fenced", count(l.Fenced))
	t.row("keys refreshed", count(l.Refreshed))
	t.row("runs instead of refreshes", count(l.Runs))
	t.row("CPU s of the daemon", seconds(l.CPU))
	b.WriteString(t.String())
}

// held is the share of its rate that a writer makes which the machine bears.
const held = 0.98

func (r *Report) printWriters(b *strings.Builder) {
	if len(r.Writers) == 0 {
		return
	}
	b.WriteString("\nTHE SAME WRITER at full speed, in turn\n")
	t := table{{"beside", "rounds", "rows/s", "min to max", "/ nothing"}}
	alone := Median(r.writers(BesideNothing))
	for _, beside := range Besides {
		all := r.writers(beside)
		if len(all) == 0 {
			continue
		}
		t.row(beside, fmt.Sprint(len(all)), count(int64(Median(all))),
			count(int64(slices.Min(all)))+" to "+count(int64(slices.Max(all))),
			fmt.Sprintf("%.2f", over(Median(all), alone)))
	}
	b.WriteString(t.String())
}
