package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stokerhq/stoker/cmd/bench/internal/baseline"
	"github.com/stokerhq/stoker/cmd/bench/internal/report"
	"github.com/stokerhq/stoker/store/storetest"
)

// The part of the changes at its smallest: every figure is there, and every key is
// right in the end.
func TestChanges(t *testing.T) {
	binary := storetest.Stoker(t)
	file := filepath.Join(t.TempDir(), "bench.json")
	ownTemp(t)
	var out bytes.Buffer
	var said lines
	status := execute(t.Context(), []string{
		"-stoker", binary, "-scale", "0.01", "-rounds", "1", "-seconds", "2", "-json", file, "-only", "changes",
	}, &out, &said)
	if status != exitOK {
		t.Fatalf("status %d\n%s", status, said.String())
	}
	for _, want := range []string{"CHANGES: from COMMIT", "pg_recvlogical", "A WRITER for 2s",
		"THE SAME WRITER at full speed", "changes: wrong after that"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in the table:\n%s", want, out.String())
		}
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var r report.Report
	if err := json.Unmarshal(b, &r); err != nil {
		t.Fatal(err)
	}
	wantChanges(t, r)
}

// Two builds are measured in turn; here one is both.
func TestChangesOfTwoBuilds(t *testing.T) {
	binary := storetest.Stoker(t)
	file := filepath.Join(t.TempDir(), "bench.json")
	ownTemp(t)
	var out bytes.Buffer
	var said lines
	status := execute(t.Context(), []string{
		"-stoker", binary, "-before", binary, "-scale", "0.01", "-rounds", "1", "-seconds", "2", "-json", file,
		"-only", "changes",
	}, &out, &said)
	if status != exitOK || !strings.Contains(out.String(), "TWO BUILDS") {
		t.Fatalf("status %d\n%s\n%s", status, said.String(), out.String())
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var r report.Report
	if err := json.Unmarshal(b, &r); err != nil {
		t.Fatal(err)
	}
	if len(r.Builds) != 2 || r.Builds[0].Name != report.BuildBefore || r.Builds[1].Name != report.BuildAfter {
		t.Fatalf("%+v", r.Builds)
	}
	for _, m := range r.Builds {
		if m.Idle <= 0 || m.Alone.P50 <= 0 || m.Paced.Commits < 5 || m.Loaded.Commits < 5 || m.Wait.P99 <= 0 {
			t.Errorf("%+v", m)
		}
	}
}

func TestSentByClient(t *testing.T) {
	for line, want := range map[string]bool{
		`+1700000000.1 [0 127.0.0.1:4123] "SET" "a lua" "]"`: true,
		`+1700000000.1 [0 lua] "GET" "k"`:                    false,
		`+OK`:                                                false,
	} {
		if got := sentByClient(line); got != want {
			t.Errorf("%s: %v", line, got)
		}
	}
}

func wantChanges(t *testing.T, r report.Report) {
	t.Helper()
	if len(r.Lags) != 6 || len(r.Writers) != len(report.Besides) {
		t.Errorf("%d lags, %d turns of the writer", len(r.Lags), len(r.Writers))
	}
	for _, l := range r.Lags {
		if l.Commits < 5 || l.Lost > 0 || l.Max <= 0 || l.P99 > l.Max {
			t.Errorf("%+v", l)
		}
	}
	for _, w := range r.Writers {
		if w.Rows < writerRows {
			t.Errorf("%+v", w)
		}
	}
	if l := r.Load; l == nil || l.Wrong > 0 || l.Keys != 1000 || l.Changed < writerRows || l.Refreshed+l.Runs == 0 ||
		l.Made <= 0 {
		t.Errorf("%+v", l)
	}
}

// What pg_recvlogical writes comes in pieces, with lines that are no change of a
// row that was asked for.
func TestRecvLines(t *testing.T) {
	r := &recv{process: &process{}, seen: map[version]time.Time{}}
	const text = "BEGIN\n" +
		"table public.product: UPDATE: id[bigint]:7 sku[text]:'S' name[text]:'a stock[integer]:1 b' " +
		"price[numeric]:1.50 stock[integer]:42 tags[text[]]:'{}'\n" +
		"table public.other: UPDATE: id[bigint]:8 sku[text]:'S' stock[integer]:9 tags[text[]]:'{}'\nCOMMIT\n"
	for piece := range strings.SplitAfterSeq(text, "4") {
		if n, err := r.Write([]byte(piece)); err != nil || n != len(piece) {
			t.Fatal(n, err)
		}
	}
	if len(r.seen) != 1 || r.seen[version{7, 42}].IsZero() {
		t.Fatalf("seen: %v", r.seen)
	}
	took, lost := r.lags(t.Context(), []baseline.Probe{{ID: 7, Version: 42, Commit: time.Now().Add(-time.Minute)}})
	if lost != 0 || len(took) != 1 || took[0] < 50*time.Second {
		t.Errorf("%v, %d lost", took, lost)
	}
}

func TestShows(t *testing.T) {
	for value, want := range map[any]bool{`{"id":7,"stock":42,"tags":[]}`: true, `{"id":7,"stock":41,"tags":[]}`: false,
		`{}`: false, nil: false} {
		if got := shows(value, "7|42"); got != want {
			t.Errorf("%v shows 7|42: %v", value, got)
		}
	}
}
