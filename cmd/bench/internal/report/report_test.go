package report

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/stokerhq/stoker/cmd/bench/internal/proc"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// sampleReport is a report of every part, with figures that are easy to check.
func sampleReport() *Report {
	r := &Report{
		Date: time.Date(2026, 2, 3, 4, 5, 6, 0, time.UTC), Stoker: "v1.2.3", Postgres: "15.20", Redis: "7.0.15",
		Go: "go1.26.8",
		Machine: proc.Machine{CPU: "Some CPU", Cores: 2, Memory: 4 << 30, System: "linux/amd64 6.1",
			Load: "0.10 0.20 0.30"},
		Scale: 0.5, Rounds: 3, Took: 201,
		Data: []Data{{Products, 500_000, 301.4, "product:500000"}, {Accounts, 1_000_000, 131, "account:1000000"}},
		Latency: []Latency{
			{StateIdle, 1, 400_000, 0.000010, 0.000030, 0.000060, 0.001430, 0.2},
			{StatePipelines, 1, 100_000, 0.000011, 0.000150, 0.002, 0.004, 0.1},
			{StateRun, 1, 90_000, 0.000012, 0.000075, 0.001, 0.005, 0.3},
			{StateIdle, 2, 400_000, 0.000008, 0.000040, 0.000050, 0.002, 0.4},
			{StateRun, 2, 90_000, 0.000010, 0.000100, 0.002, 0.003, 0.1},
		},
		Memory: []Memory{{MemoryRerun, 500_000, 50 << 20}, {MemorySmall, 100_000, 50 << 20},
			{MemoryLarge, 5_000_000, 60 << 20}},
		Lags: []Lag{
			NewLag(WhileAlone, ByWAL, 0, []time.Duration{8 * time.Millisecond, 12 * time.Millisecond,
				70 * time.Millisecond}),
			NewLag(WhileAlone, ByRecv, 0, []time.Duration{-time.Millisecond, 3 * time.Millisecond,
				4 * time.Millisecond}),
			NewLag(WhilePaced, ByWAL, 1, []time.Duration{20 * time.Millisecond, 30 * time.Second}),
		},
		Load: &Load{Wanted: 10_000, Made: 9500, For: 60, First: 0.02, Last: 0.03, Unsent: 100, Unacked: 20_000,
			Keys: 100_000, Right: 0.5,
			Changed: 600_000, Fenced: 590_000, Refreshed: 450_000, Runs: 1, CPU: 20},
		Writers: []Writer{{1, BesideNothing, 40_000}, {1, BesideWAL, 30_000}, {2, BesideNothing, 42_000},
			{2, BesideWAL, 31_500}},
		Micro: &Micro{Base: "main (abc)", Tree: "HEAD (def)", Benchstat: "a table\nof benchstat"},
	}
	add := func(part string, c Contender, keys int64, backend, redis, client Seconds, walls ...Seconds) {
		for i, w := range walls {
			r.Samples = append(r.Samples, Sample{part, c, i + 1, keys, w, backend, redis, client, 0.05})
		}
	}
	add(Products, Ours, 500_000, 1.1, 1.5, 1.2, 2.4, 2.0, 2.1)
	add(Products, Ingest, 500_000, 0, 1.2, 0.3, 1.5, 1.6, 1.4)
	add(Products, Psql, 500_000, 1.8, 1.1, 0.7, 4.41, 4.2, 4.5)
	add(Products, Plain, 500_000, 1.2, 12, 20, 63)
	add(Products, Pipelined, 500_000, 1.2, 1.25, 3, 4.2, 4.3, 4.1)
	add(Products, Read, 500_000, 1.0, 0, 0.4, 1.2, 1.3, 1.1)
	add(Accounts, Ours, 1_000_000, 0.5, 2, 1, 2.5)
	add(Accounts, Ingest, 1_000_000, 0, 2, 1, 2)
	for _, kind := range []string{KindCold, KindUnchanged, KindChanged} {
		w, sent := Seconds(2), int64(200e6)
		if kind != KindCold {
			w, sent = 1, 8e6
		}
		r.Reruns = append(r.Reruns, Rerun{1, kind, w, false, 0}, Rerun{2, kind, w + 0.5, false, 0},
			Rerun{1, kind, w + 1, true, sent})
	}
	r.Conclude()
	return r
}

func TestPrint(t *testing.T) {
	var b strings.Builder
	if err := sampleReport().Print(&b); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join("testdata", "report.golden.txt")
	if *update {
		if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), b.String()); diff != "" {
		t.Errorf("%s differs (-want +got), -update rewrites it:\n%s", file, diff)
	}
}

func TestGoals(t *testing.T) {
	got := map[string]Goal{}
	for _, g := range sampleReport().Goals {
		got[g.What] = g
	}
	for what, want := range map[string]struct {
		value   float64
		reached bool
	}{
		"products: wall a / b":                                             {1.4, false},
		"products: wall c / a":                                             {2.1, true},
		"products: wall d / a":                                             {30, true},
		"products: backend CPU a / f":                                      {1.1, true},
		"products: Redis CPU per key a / e":                                {1.2, false}, // no target: never reached
		"accounts: wall a / b":                                             {1.25, false},
		"reader: p99 in a run / idle":                                      {2.5, true},
		"re-run, 1 % changed: wall / cold":                                 {1.25 / 2.25, true},
		"re-run, 1 % changed: replication bytes / cold":                    {4, true},
		"peak memory: large result":                                        {60, true},
		"peak memory: small and large result apart":                        {20, false},
		"changes: one at a time, GET, source: wal, p50":                    {12, true},
		"changes: one at a time, GET, source: wal, p99":                    {70, false},
		"changes: one at a time, GET, source: wal, p50 / pg_recvlogical's": {4, false}, // no target
		"changes: 200 a second, GET, source: wal, p99":                     {30_000, false},
		"changes: lag in its last sixth / in its first":                    {1.5, false}, // no target
		"changes: wrong after that":                                        {0, true},
		"changes: keys refreshed / rows changed":                           {0.75, false}, // no target
		"changes: writer beside a daemon, source: wal / alone":             {0.75, false}, // no target
	} {
		g, ok := got[what]
		if !ok || g.Value < want.value-1e-9 || g.Value > want.value+1e-9 || g.Reached != want.reached {
			t.Errorf("%s: %+v, want %v, reached %v", what, g, want.value, want.reached)
		}
	}
	if g := got["accounts: wall a / b"]; g.Limit != "" {
		t.Errorf("the accounts have a target: %+v", g)
	}
	for _, what := range []string{"changes: one at a time, GET, source: outbox, p50",
		"changes: writer beside a daemon, source: outbox / alone", "accounts: wall d / a",
		"accounts: backend CPU a / f", "reader: p99 in an unchanged run / idle"} {
		if g, ok := got[what]; ok {
			t.Errorf("what was not measured has a figure: %+v", g)
		}
	}
}

// Who had the machine for themselves is not warned.
func TestDisturbed(t *testing.T) {
	r := &Report{Machine: proc.Machine{Cores: 2}, Samples: []Sample{{Wall: 4, Others: 0.1}, {Wall: 1, Others: 0.2}}}
	r.Conclude()
	if r.Others < 0.0299 || r.Others > 0.0301 {
		t.Errorf("others had %v", r.Others)
	}
	var quiet, loud strings.Builder
	if err := r.Print(&quiet); err != nil || strings.Contains(quiet.String(), "disturbed") {
		t.Errorf("%v\n%s", err, quiet.String())
	}
	r.Samples[0].Others = 1
	r.Conclude()
	if err := r.Print(&loud); err != nil || !strings.Contains(loud.String(), "others had 12 % of the processors") {
		t.Errorf("%v\n%s", err, loud.String())
	}
}

// A report of nothing must print, and must have no goals.
func TestAnEmptyReport(t *testing.T) {
	r := &Report{}
	r.Conclude()
	var b strings.Builder
	if err := r.Print(&b); err != nil || len(r.Goals) > 0 || !r.Empty() {
		t.Errorf("%v, goals %v", err, r.Goals)
	}
	if sampleReport().Empty() {
		t.Error("a full report is empty")
	}
}

// Every figure is in the JSON, and it reads back as the same report.
func TestJSON(t *testing.T) {
	r := sampleReport()
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var back Report
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(*r, back); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
