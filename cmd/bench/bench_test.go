package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stokerhq/stoker/cmd/bench/internal/proc"
	"github.com/stokerhq/stoker/cmd/bench/internal/report"
	"github.com/stokerhq/stoker/store/storetest"
)

// A whole run at the smallest size: nothing is told by its times, everything by
// its having a figure for each part.
func TestBench(t *testing.T) {
	binary := storetest.Stoker(t)
	file := filepath.Join(t.TempDir(), "bench.json")
	ownTemp(t)
	var out bytes.Buffer
	var said lines
	status := execute(t.Context(), []string{
		"-stoker", binary, "-scale", "0.001", "-rounds", "1", "-json", file,
		"-only", "products, reader,reruns,memory,scopes,lost,killed,foreground",
	}, &out, &said)
	if status != exitOK {
		t.Fatalf("status %d\n%s", status, said.String())
	}
	for _, want := range []string{"PRODUCTS: 500 rows", "(f) Postgres alone", "READER", "RE-RUNS",
		"products: wall a / b"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in the table:\n%s", want, out.String())
		}
	}
	if strings.Contains(out.String(), "ACCOUNTS") || !strings.Contains(said.String(), "products, round 1 of 1: (a)") {
		t.Errorf("%s\n%s", out.String(), said.String())
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var r report.Report
	if err := json.Unmarshal(b, &r); err != nil {
		t.Fatal(err)
	}
	wantReport(t, r)
}

func wantReport(t *testing.T, r report.Report) {
	t.Helper()
	letters := ""
	for _, s := range r.Samples {
		letters += string(s.Contender)
		if s.Keys != 500 || s.Wall <= 0 {
			t.Errorf("%+v", s)
		}
	}
	if letters != "abcdef" {
		t.Errorf("contenders %s", letters)
	}
	if len(r.Latency) != 4 || len(r.Reruns) != 6 || (len(r.Memory) != 5 && proc.Known()) {
		t.Errorf("%d states, %d re-runs, %d peaks", len(r.Latency), len(r.Reruns), len(r.Memory))
	}
	for _, l := range r.Latency {
		if l.Gets < 5 || l.P50 <= 0 || l.Max < l.P999 {
			t.Errorf("%+v", l)
		}
	}
	if len(r.Scopes) != 2 {
		t.Errorf("%d invalidations by a column", len(r.Scopes))
	}
	for _, s := range r.Scopes {
		if s.Keys != 1000 || s.Wall <= 0 || s.Old > 0 || s.Left > 0 {
			t.Errorf("%+v", s)
		}
	}
	if len(r.Killed) != 1 || r.Killed[0].Keys != 500 || len(r.Foreground) != 3 {
		t.Errorf("%+v %+v", r.Killed, r.Foreground)
	}
	for _, f := range r.Foreground {
		if f.TPS <= 0 || f.P50 <= 0 || f.P99 < f.P50 || f.State != report.ForegroundAlone && f.Written <= 0 {
			t.Errorf("%+v", f)
		}
	}
	if len(r.Lost) != 2 || r.Lost[0].Cause == r.Lost[1].Cause {
		t.Errorf("%+v", r.Lost)
	}
	for _, l := range r.Lost {
		if l.Keys != 200 || l.Wall <= 0 || l.Run <= 0 {
			t.Errorf("%+v", l)
		}
	}
	for _, s := range r.Reruns {
		if s.Wall <= 0 || (s.Replication > 0) != s.Replica {
			t.Errorf("%+v", s)
		}
	}
	if r.Postgres == "" || r.Redis == "" || r.Stoker == "" || r.Took <= 0 {
		t.Errorf("%+v", r)
	}
}

// Broken by: the number after the unit; a ratio of CPU for the one of time; nothing taken for 0.
func TestMetricOf(t *testing.T) {
	out := "BenchmarkTraces-2  \t 20\t 41 ns/op\t 1.004 traced/plain\t 1.012 traced/plain-cpu\nPASS"
	wall, err := metricOf(out, "traced/plain")
	cpu, cerr := metricOf(out, "traced/plain-cpu")
	if wall != 1.004 || cpu != 1.012 || err != nil || cerr != nil {
		t.Errorf("%v %v, %v %v", wall, cpu, err, cerr)
	}
	if _, err := metricOf("PASS", "traced/plain"); err == nil {
		t.Error("a benchmark that says nothing is believed")
	}
}

// Ctrl-C in the middle of a contender: everything goes, in good time.
func TestInterrupt(t *testing.T) {
	for part, line := range map[string]string{"products": "data: ", "accounts": "(a)",
		"reader": "reader, round 1 of 3: idle", "changes": "changes: 200 a second"} {
		t.Run(part, func(t *testing.T) {
			binary := storetest.Stoker(t)
			ownTemp(t)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var stopped time.Time
			said := lines{on: line, then: func() { stopped = time.Now(); cancel() }}
			status := execute(ctx, []string{"-stoker", binary, "-scale", "0.02", "-only", part}, &bytes.Buffer{}, &said)
			if status != exitFailed || !strings.Contains(said.String(), "stopped before it was done") {
				t.Errorf("status %d\n%s", status, said.String())
			}
			if took := time.Since(stopped); took > 10*time.Second {
				t.Errorf("stopping took %s", took)
			}
		})
	}
}

func TestWrongCommandLines(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for want, args := range map[string][]string{
		"-rounds is 0":         {"-stoker", self, "-rounds", "0"},
		"-seconds is 0":        {"-stoker", self, "-seconds", "0"},
		"-scale is 11":         {"-stoker", self, "-scale", "11"},
		"-scale is NaN":        {"-stoker", self, "-scale", "NaN"},
		"no part \"prodcts\"":  {"-stoker", self, "-only", "prodcts"},
		"unexpected argument":  {"-stoker", self, "products"},
		"make build":           {"-stoker", filepath.Join(t.TempDir(), "none")},
		"flag provided but no": {"-bogus"},
	} {
		var out, said bytes.Buffer
		if status := execute(t.Context(), args, &out, &said); status != exitWrong ||
			!strings.Contains(said.String(), want) {
			t.Errorf("%q: status %d, %s", args, status, said.String())
		}
	}
	var said bytes.Buffer
	if status := execute(t.Context(), []string{"-h"}, &bytes.Buffer{}, &said); status != exitOK ||
		!strings.Contains(said.String(), "-rounds") {
		t.Errorf("-h: %d, %s", status, said.String())
	}
}

func TestWithin(t *testing.T) {
	at := func(s int) time.Time { return time.Unix(int64(s), 0) }
	o := options{scale: 1}
	if got := o.sized(5); got != 200 {
		t.Errorf("5 rows become %d", got)
	}
	spans := []span{{at(10), at(20)}, {at(30), at(40)}}
	if got := within(gets(at(9), at(10), at(19), at(20), at(35), at(40)), spans); len(got) != 3 {
		t.Errorf("%d GETs are within, want 3", len(got))
	}
}
