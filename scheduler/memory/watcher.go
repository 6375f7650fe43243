// Package memory watches whether the cache's Redis evicts keys, says so, and has the jobs that lost keys run again
// where that can help.
//
//	what the servers count, every look ──► Observe ──► one eviction, from the first key to a quiet time ──► Run
//	Run: log, metric, ledger; at its end: which jobs have lost keys? does it fit? ──► their runs
//
// It never fights with the server: nothing is run while keys are evicted, nor where what is missing does not fit, nor
// again when a refill was evicted itself.
package memory

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/hibiken/asynq"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/cache/info"
)

// Config is what a Watcher needs. Every field but Quiet is required.
type Config struct {
	Spec     func() *jobs.Spec
	Warmth   Warmth
	Ledger   Ledger
	Enqueuer Enqueuer // takes the runs
	Metrics  prometheus.Registerer
	Log      *slog.Logger
	Quiet    time.Duration // without an evicted key, after which an eviction has ended. Default 10 s
}

// Warmth samples how much of a job's keyset is in the cache.
type Warmth interface {
	Warmth(ctx context.Context, job string) (present, sampled int, err error)
}

// Ledger keeps what is known; store/ledger does.
type Ledger interface {
	LastComplete(ctx context.Context, job string) (store.Record, bool, error)
	KeepEviction(ctx context.Context, e store.Eviction) error
	Lease(ctx context.Context, name, holder string, ttl time.Duration) (bool, error)
}

// Enqueuer puts a task on its queue.
type Enqueuer interface {
	EnqueueContext(ctx context.Context, t *asynq.Task, opts ...asynq.Option) (*asynq.TaskInfo, error)
}

const defaultQuiet = 10 * time.Second

// Watcher finds evictions in what servers count. Observe may be called beside Run.
type Watcher struct {
	cfg     Config
	going   prometheus.Gauge
	refills prometheus.Counter
	wake    chan struct{} // holds a token when an eviction has begun or ended

	mu      sync.Mutex
	evicted map[string]int64 // :: run id -> keys, at the last look
	now     store.Eviction   // zero: there was none

	// Run's alone
	refilled time.Time // when jobs were run for an eviction
	limit    int64     // maxmemory then
	futile   bool      // a refill was evicted, and maxmemory has not been raised since
}

// New returns a watcher.
func New(c Config) *Watcher {
	if c.Quiet <= 0 {
		c.Quiet = defaultQuiet
	}
	w := &Watcher{cfg: c, wake: make(chan struct{}, 1), evicted: make(map[string]int64),
		going: prometheus.NewGauge(prometheus.GaugeOpts{Name: "stoker_cache_evicting",
			Help: "1 while the cache's Redis evicts keys because its memory is full, and some seconds after."}),
		refills: prometheus.NewCounter(prometheus.CounterOpts{Name: "stoker_cache_refills_total",
			Help: "Runs that were enqueued because a job had lost keys to an eviction."})}
	c.Metrics.MustRegister(w.going, w.refills)
	return w
}

// Observe takes what the servers of the cache count.
func (w *Watcher) Observe(nodes []info.Node, at time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var gone int64
	for _, n := range nodes {
		before, known := w.evicted[n.RunID]
		if known && n.Evicted > before {
			gone += n.Evicted - before
		}
		w.evicted[n.RunID] = n.Evicted
	}
	e, going := &w.now, !w.now.Since.IsZero() && w.now.Until.IsZero()
	switch {
	case gone > 0 && !going:
		*e = store.Eviction{Since: at.UTC()}
		fallthrough
	case gone > 0:
		all := info.Sum(nodes)
		e.Keys, e.Last, e.Used, e.Max, e.Policy = e.Keys+gone, at.UTC(), all.Used, all.Max, all.Policy
	case going && at.Sub(e.Last) >= w.cfg.Quiet:
		all := info.Sum(nodes)
		e.Until, e.Used, e.Max = at.UTC(), all.Used, all.Max
	}
	if going != (!e.Since.IsZero() && e.Until.IsZero()) {
		select {
		case w.wake <- struct{}{}:
		default:
		}
	}
}

// current returns the eviction that goes on, or the last one.
func (w *Watcher) current() store.Eviction {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

// keepEvery is how often the ledger is told of an eviction that goes on.
const keepEvery = 10 * time.Second

// Run says what Observe finds, until ctx ends.
func (w *Watcher) Run(ctx context.Context) {
	tick := time.NewTicker(keepEvery)
	defer tick.Stop()
	var said store.Eviction
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.wake:
		case <-tick.C:
		}
		e := w.current()
		switch {
		case e.Since.IsZero() || e == said:
			continue
		case e.Since != said.Since:
			w.begin(e)
		}
		if !e.Until.IsZero() && (said.Since != e.Since || said.Until.IsZero()) {
			w.end(ctx, &e)
		}
		said = e
		said.Refill = "" // as current returns it
		w.keep(ctx, e)
	}
}

func (w *Watcher) begin(e store.Eviction) {
	w.going.Set(1)
	w.cfg.Log.Warn("redis evicts keys, for its memory is full: readers miss what is gone", "policy", e.Policy,
		"used_memory", e.Used, "maxmemory", e.Max)
}

// keep writes it down for who shows it. Without the ledger, nothing else is shown either.
func (w *Watcher) keep(ctx context.Context, e store.Eviction) {
	if err := w.cfg.Ledger.KeepEviction(ctx, e); err != nil && ctx.Err() == nil {
		w.cfg.Log.Warn("an eviction was not written down", jobs.LogErr, err)
	}
}
