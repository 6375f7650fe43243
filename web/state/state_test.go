package state

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/cache"
	"github.com/stokerhq/stoker/store/storetest"
)

type queues map[string]int64

func (q queues) Pending(_ context.Context, name string) (int64, error) { return q[name], nil }

type sampler struct{}

func (sampler) Warmth(context.Context, string) (present, sampled int, err error) { return 3, 4, nil }

// leases is one lease whose Redis can be cut off.
type leases struct {
	mu     sync.Mutex
	holder string
	until  time.Time
	down   bool
}

func (l *leases) Renew(_ context.Context, _, holder string, ttl time.Duration) (bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.down {
		return false, errors.New("connection refused")
	}
	if l.holder != holder && time.Now().Before(l.until) {
		return false, nil
	}
	l.holder, l.until = holder, time.Now().Add(ttl)
	return true, nil
}

func (l *leases) Release(_ context.Context, _, holder string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.holder == holder {
		l.until = time.Time{}
	}
	return nil
}

func (l *leases) cut(down bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.down = down
}

func newExporter(t *testing.T, l Leases, ledger *storetest.FakeLedger, memory error) *Exporter {
	t.Helper()
	key, err := jobs.ParseKeyTemplate("a:{id}")
	if err != nil {
		t.Fatal(err)
	}
	return New(Config{Spec: &jobs.Spec{Jobs: []*jobs.Job{{Name: "a", Key: key, TTL: time.Hour},
		{Name: "never-run", Key: key, TTL: time.Minute}}},
		Ledger:  ledger,
		Sampler: sampler{}, Queues: queues{jobs.QueueRefresh: 7}, Leases: l, Log: slog.New(slog.DiscardHandler),
		Memory: func(context.Context) (cache.Memory, error) {
			return cache.Memory{Used: 5, Max: 9, Evicted: 3},
				memory
		},
		Reads: func(context.Context) (store.Reads, error) {
			return store.Reads{At: time.Now(), Hits: 11, Misses: 2}, nil
		},
	})
}

// series are what a scrape shows: name and labels to value.
func series(t *testing.T, e *Exporter) map[string]float64 {
	t.Helper()
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(e)
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]float64)
	for _, f := range families {
		for _, m := range f.Metric {
			name := f.GetName()
			for _, l := range m.Label {
				name += " " + l.GetValue()
			}
			got[name] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	return got
}

func newLedger(t *testing.T) *storetest.FakeLedger {
	t.Helper()
	ledger := storetest.NewLedger()
	now := time.Now()
	for _, r := range []store.Record{
		{Job: "a", State: store.StateOK, Start: now.Add(-60 * time.Second), End: now.Add(-50 * time.Second), Keys: 12,
			Bytes: 340},
		{Job: "a", State: store.StateFailed, Start: now.Add(-9 * time.Second), End: now.Add(-8 * time.Second)},
	} {
		if err := ledger.Add(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	return ledger
}

// The state is that of the last complete run, of what waits, and of the cache; what is not known has no series.
//
// Broken by: the time of a run that failed; a zero for what is not known.
func TestValues(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ledger := newLedger(t)
		e := newExporter(t, &leases{}, ledger, nil)
		ctx, cancel := context.WithCancel(t.Context())
		go e.Run(ctx)
		synctest.Wait()
		want := map[string]float64{
			"stoker_state_exporter":                       1,
			"stoker_job_last_success_timestamp_seconds a": float64(time.Now().Unix() - 50),
			"stoker_job_oldest_value_seconds a":           60,
			"stoker_job_warm_ratio a":                     0.75,
			"stoker_job_warm_ratio never-run":             0.75,
			"stoker_job_ttl_seconds a":                    3600,
			"stoker_job_ttl_seconds never-run":            60,
			"stoker_job_keys a":                           12,
			"stoker_job_bytes a":                          340,
			"stoker_queue_pending stoker-refresh":         7,
			"stoker_queue_pending stoker-run":             0,
			"stoker_cache_memory_bytes":                   5,
			"stoker_cache_maxmemory_bytes":                9,
			"stoker_cache_evicted_keys_total":             3,
			"stoker_cache_reads_total hit":                11,
			"stoker_cache_reads_total miss":               2,
		}
		if got := series(t, e); !maps.Equal(got, want) {
			t.Errorf("got %v\nwant %v", got, want)
		}
		cancel()
		synctest.Wait()
		if got := series(t, e); len(got) > 0 {
			t.Errorf("after the end: %v", got)
		}
	})
}

// Of all replicas one exports, also after it was killed; while Redis is away none does.
//
// Broken by: an exporter that does not look at the lease; one that keeps its values when Redis does not answer.
func TestOneReplicaExports(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &leases{}
		ledger := newLedger(t)
		first, second := newExporter(t, l, ledger, nil), newExporter(t, l, ledger, nil)
		killed, kill := context.WithCancel(t.Context())
		ctx, cancel := context.WithCancel(t.Context())
		go first.Run(killed)
		synctest.Wait()
		go second.Run(ctx)
		exporting := func() []bool {
			synctest.Wait()
			return []bool{len(series(t, first)) > 0, len(series(t, second)) > 0}
		}
		if got := exporting(); !slices.Equal(got, []bool{true, false}) {
			t.Errorf("exporting: %v", got)
		}
		time.Sleep(10 * time.Minute)
		if got := exporting(); !slices.Equal(got, []bool{true, false}) {
			t.Errorf("after ten minutes: %v", got)
		}
		l.cut(true)
		time.Sleep(leaseTTL)
		if got := exporting(); !slices.Equal(got, []bool{false, false}) {
			t.Errorf("without Redis: %v", got)
		}
		l.cut(false)
		time.Sleep(leaseTTL + leaseEvery)
		if got := exporting(); got[0] == got[1] {
			t.Errorf("Redis is back: %v", got)
		}
		kill()
		time.Sleep(leaseTTL + leaseEvery)
		if got := exporting(); !slices.Equal(got, []bool{false, true}) {
			t.Errorf("after the holder's end: %v", got)
		}
		cancel()
		synctest.Wait()
	})
}

// A Redis that hides its memory costs these series and a line of the log, not the others.
func TestMemoryIsHidden(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newExporter(t, &leases{}, newLedger(t), cache.ErrNoInfo)
		var log strings.Builder
		e.cfg.Log = slog.New(slog.NewTextHandler(&log, nil))
		ctx, cancel := context.WithCancel(t.Context())
		go e.Run(ctx)
		time.Sleep(time.Minute)
		synctest.Wait()
		got := series(t, e)
		if _, is := got["stoker_cache_memory_bytes"]; is || got["stoker_job_keys a"] != 12 {
			t.Errorf("%v", got)
		}
		if n := strings.Count(log.String(), "level=WARN"); n != 1 {
			t.Errorf("%d warnings in a minute:\n%s", n, log.String())
		}
		cancel()
		synctest.Wait()
	})
}
