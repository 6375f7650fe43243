// Package state exports as metrics what is true of the jobs, the queues and the cache as a whole. Every replica could
// say it, and a sum over replicas would be wrong; so one process at a time does, the holder of a lease.
//
//	ledger, sample of keys, queues, INFO ──every 15 s──► values ──scrape──► /metrics
//	          only while the lease is held; without it there are no series
package state

import (
	"context"
	"crypto/rand"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/cache"
	"github.com/stokerhq/stoker/web"
)

// Config is what an Exporter needs.
type Config struct {
	Spec    *jobs.Spec
	Ledger  web.Ledger
	Sampler web.Sampler
	Queues  Queues
	Memory  func(context.Context) (cache.Memory, error)
	Reads   func(context.Context) (store.Reads, error)
	Leases  Leases
	Log     *slog.Logger
	// Observe is called with each state that was read, in the process that exports it. It may be nil.
	Observe func(ctx context.Context, statuses []web.JobStatus, now time.Time)
	// Interval is how often the values are read. Default 15 s.
	Interval time.Duration
}

// Queues counts the tasks that wait; store/queue does.
type Queues interface {
	Pending(ctx context.Context, queue string) (int64, error)
}

// Leases lets one replica export; store/ledger has them.
type Leases interface {
	Renew(ctx context.Context, name, holder string, ttl time.Duration) (bool, error)
	Release(ctx context.Context, name, holder string) error
}

// The lease's name is none that a job can have. A holder that was killed is replaced within a TTL and a step.
const (
	leaseName       = "#state"
	leaseTTL        = 12 * time.Second
	leaseEvery      = 4 * time.Second
	defaultInterval = 15 * time.Second
	readLimit       = 10 * time.Second
)

// Exporter is a prometheus.Collector whose series are there while its process holds the lease.
type Exporter struct {
	cfg    Config
	holder string

	mu     sync.Mutex
	jobs   *jobs.Spec          // cfg.Spec, or what has replaced it
	spec   []prometheus.Metric // what it says of its jobs
	values []prometheus.Metric // nil: another process exports
	quiet  map[string]bool     // :: what could not be read, and was said
}

// New returns an exporter that exports nothing until Run holds the lease.
func New(c Config) *Exporter {
	if c.Interval <= 0 {
		c.Interval = defaultInterval
	}
	e := &Exporter{cfg: c, holder: rand.Text(), quiet: make(map[string]bool)}
	e.Replace(c.Spec)
	return e
}

// Replace has the exporter read the jobs of another spec from its next look on.
func (e *Exporter) Replace(spec *jobs.Spec) {
	var metrics []prometheus.Metric
	for _, job := range spec.Jobs {
		metrics = append(metrics, specMetrics(job, time.Now())...)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.jobs, e.spec = spec, metrics
}

// current returns the spec and what it says of its jobs.
func (e *Exporter) current() (*jobs.Spec, []prometheus.Metric) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.jobs, e.spec
}

// Describe implements prometheus.Collector: no series is there at all times.
func (e *Exporter) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (e *Exporter) Collect(ch chan<- prometheus.Metric) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, m := range e.values {
		ch <- m
	}
}

func (e *Exporter) set(values []prometheus.Metric) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.values = values
}

// Run takes the lease when it is free, and reads the values while it holds it, until ctx ends.
func (e *Exporter) Run(ctx context.Context) {
	defer e.release(ctx)
	step := time.NewTicker(min(leaseEvery, e.cfg.Interval))
	defer step.Stop()
	var read time.Time
	for {
		held, err := e.cfg.Leases.Renew(ctx, leaseName, e.holder, leaseTTL)
		if ctx.Err() != nil {
			return
		}
		// A Redis that does not answer: who exports is not known, and what was read is old.
		if e.warn("lease", err); err != nil || !held {
			e.set(nil)
			read = time.Time{}
		} else if now := time.Now(); now.Sub(read) >= e.cfg.Interval {
			e.set(e.read(ctx, now))
			read = now
		}
		select {
		case <-ctx.Done():
			return
		case <-step.C:
		}
	}
}

func (e *Exporter) release(ctx context.Context) {
	e.set(nil)
	ctx, cancel := store.Afterwards(ctx, time.Second)
	defer cancel()
	if err := e.cfg.Leases.Release(ctx, leaseName, e.holder); err != nil {
		e.cfg.Log.Warn("the lease of the metrics was not given back; it lapses by itself", jobs.LogErr, err)
	}
}

// read reads everything that can be read; what cannot is left out, so that an absent series says so.
func (e *Exporter) read(ctx context.Context, now time.Time) []prometheus.Metric {
	ctx, cancel := context.WithTimeout(ctx, readLimit)
	defer cancel()
	spec, said := e.current()
	statuses, err := web.Collect(ctx, spec, e.cfg.Ledger, e.cfg.Sampler, now)
	e.warn("jobs", err)
	if e.cfg.Observe != nil {
		e.cfg.Observe(ctx, statuses, now)
	}
	values := []prometheus.Metric{gauge(exporting, 1)}
	values = append(values, said...)
	for _, st := range statuses {
		values = append(values, jobMetrics(st)...)
	}
	for _, queue := range jobs.Queues {
		n, err := e.cfg.Queues.Pending(ctx, queue)
		if err == nil {
			values = append(values, gauge(queuePending, float64(n), queue))
		}
		e.warn(queue, err)
	}
	m, err := e.cfg.Memory(ctx)
	if e.warn("memory", err); err == nil {
		values = append(values, gauge(cacheMemory, float64(m.Used)), gauge(cacheMaxMemory, float64(m.Max)),
			prometheus.MustNewConstMetric(cacheEvicted, prometheus.CounterValue, float64(m.Evicted)))
	}
	r, err := e.cfg.Reads(ctx)
	if e.warn("reads", err); err == nil {
		values = append(values, readMetrics(r, now)...)
	}
	return values
}

// warn logs what cannot be read, once until it can.
func (e *Exporter) warn(what string, err error) {
	if err == nil {
		delete(e.quiet, what)
		return
	}
	if !e.quiet[what] {
		e.quiet[what] = true
		e.cfg.Log.Warn("some metrics of state cannot be read and are left out", "of", what, jobs.LogErr, err)
	}
}
