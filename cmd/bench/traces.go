package main

import (
	"context"
	"fmt"
	"math"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/stokerhq/stoker/cmd/bench/internal/report"
)

// tracedPackage is where BenchmarkTraces is: two daemons in one process take turns. Daemons of their own, which is how
// all else is measured here, differ by 15 % from one process to the next, and traces cost a hundredth of that.
const tracedPackage = "./cmd/stoker/internal/daemon"

// tracedPairs is how many runs with and without traces are compared in a process at scale 1.
const tracedPairs = 60

// traces compares runs whose spans are exported with runs that make none, each round in a new process.
func (b *bench) traces(ctx context.Context) error {
	root, err := b.command(ctx, ".", b.goTool, "list", "-m", "-f", "{{.Dir}}")
	if err != nil {
		return err
	}
	binary := filepath.Join(b.dir, "traces.test")
	if _, err := b.command(ctx, root, b.goTool, "test", "-c", "-trimpath", "-o", binary, tracedPackage); err != nil {
		return err
	}
	pairs := max(2, int(math.Round(tracedPairs*b.scale)))
	for round := range b.rounds {
		out, err := b.command(ctx, filepath.Join(root, tracedPackage), binary, "-test.run", "^$",
			"-test.bench", "^BenchmarkTraces$", "-test.benchtime", strconv.Itoa(pairs)+"x")
		if err != nil {
			return err
		}
		t := report.Traced{Round: round + 1, Pairs: pairs}
		if t.Wall, err = metricOf(out, "traced/plain"); err != nil {
			return err
		}
		if t.CPU, err = metricOf(out, "traced/plain-cpu"); err != nil {
			return err
		}
		b.report.Traced = append(b.report.Traced, t)
		b.say("traces, round %d of %d, %d pairs: run %.3f, CPU %.3f", round+1, b.rounds, pairs, t.Wall, t.CPU)
	}
	return nil
}

// metricOf returns what a Go benchmark has reported in a unit.
func metricOf(out, unit string) (value float64, err error) {
	fields := strings.Fields(out)
	for i, field := range fields {
		if field == unit && i > 0 {
			return strconv.ParseFloat(fields[i-1], 64)
		}
	}
	return 0, fmt.Errorf("the benchmark reports no %s:\n%s", unit, out)
}
