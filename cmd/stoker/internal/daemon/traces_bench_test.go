package daemon

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stokerhq/stoker/cmd/stoker/internal/connect"
	"github.com/stokerhq/stoker/cmd/stoker/internal/reload"
	"github.com/stokerhq/stoker/cmd/stoker/internal/trace"
	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/storetest"
)

// Each row differs in each run, so that each run writes them all.
const tracedSpec = `namespace: ${NAME}
postgres: {url: "${PG}"}
redis: {url: "${RD}"}
jobs:
  - name: product
    key: "${NAME}:{id}"
    query: >-
      SELECT i AS id, 'SKU-' || i AS sku, 'a product with a name of some words' AS name, i * 1.25 AS price,
      clock_timestamp() AS read_at FROM generate_series(1, 100000) i
    volatile: true
`

// measured is what a run has taken.
type measured struct{ wall, cpu time.Duration }

// exportEvery is how often spans are exported, and how long a run is followed after its end: its spans are on its bill.
const exportEvery = 50 * time.Millisecond

// BenchmarkTraces compares runs of 100,000 new values whose spans are exported with runs that make none. Two daemons in
// one process take turns, so that they share one heap and one collector of garbage: whole processes of the same program
// differ by 15 % from one to the next on a small machine, which is more than what is looked for.
// An operation is a run of each; the ratios are medians of the pairs.
func BenchmarkTraces(b *testing.B) {
	var arrived atomic.Int64
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		arrived.Add(1)
	}))
	b.Cleanup(collector.Close)
	b.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.URL)
	b.Setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
	log := slog.New(slog.DiscardHandler)
	exported := func(name string) (string, bool) {
		if name != "OTEL_EXPORTER_OTLP_ENDPOINT" {
			return "", false
		}
		return collector.URL, true
	}
	traces, err := trace.Open(b.Context(), trace.Config{Lookup: exported, Version: "bench", Log: log})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { traces.Close(time.Second) })
	pg, rd := storetest.Postgres(b), storetest.Redis(b)
	plain := startTraced(b, "plain", pg, rd, nil)
	traced := startTraced(b, "traced", pg, rd, traces)
	for range 3 { // the heap grows to its size
		plain.measure(b)
		traced.measure(b)
	}
	var walls, cpus []float64
	for turn := 0; b.Loop(); turn++ {
		var with, without measured
		if turn%2 == 0 {
			without, with = plain.measure(b), traced.measure(b)
		} else {
			with, without = traced.measure(b), plain.measure(b)
		}
		walls = append(walls, with.wall.Seconds()/without.wall.Seconds())
		cpus = append(cpus, with.cpu.Seconds()/without.cpu.Seconds())
	}
	if arrived.Load() == 0 {
		b.Fatal("no spans have arrived")
	}
	b.ReportMetric(middle(walls), "traced/plain")
	b.ReportMetric(middle(cpus), "traced/plain-cpu")
}

func middle(of []float64) float64 {
	slices.Sort(of)
	return (of[(len(of)-1)/2] + of[len(of)/2]) / 2
}

// tracedDaemon is one of the two.
type tracedDaemon struct{ *Daemon }

func startTraced(b *testing.B, name, pg, rd string, traces *trace.Tracing) tracedDaemon {
	b.Helper()
	vars := map[string]string{"PG": pg, "RD": rd, "NAME": name}
	files := newConfigMap(b, map[string]string{"stoker.yaml": tracedSpec})
	spec, err := (&reload.Loader{File: files.dir + "/stoker.yaml", Drivers: connect.Drivers,
		Lookup: func(name string) (string, bool) { v, ok := vars[name]; return v, ok }}).First()
	if err != nil {
		b.Fatal(err)
	}
	d, err := New(Config{Spec: spec, Roles: []string{RoleWorker}, Tracing: traces, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := d.Run(ctx); err != nil {
			b.Error(err)
		}
	})
	b.Cleanup(func() { cancel(); wg.Wait() })
	return tracedDaemon{d}
}

// measure runs the job, through the queue.
func (d tracedDaemon) measure(b *testing.B) (m measured) {
	b.Helper()
	before := cpuTime(b)
	task, err := d.enqueuer().EnqueueContext(b.Context(), jobs.NewRun("product", jobs.CauseAPI))
	if err != nil {
		b.Fatal(err)
	}
	for {
		records, err := d.servers.Ledger.Runs(b.Context(), "product", 1)
		if err != nil {
			b.Fatal(err)
		}
		if len(records) > 0 && records[0].ID == task.ID {
			if records[0].State != store.StateOK {
				b.Fatalf("the run ended as %s: %s", records[0].State, records[0].Error)
			}
			m.wall = records[0].End.Sub(records[0].Start)
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	time.Sleep(2 * exportEvery)
	m.cpu = cpuTime(b) - before
	return m
}

// cpuTime is what this process has used.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
