package changes

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/stokerhq/stoker/jobs"
)

// Metrics counts what a follower does.
type Metrics struct {
	following                             prometheus.Gauge
	transactions, rows, waits, gaps, lost prometheus.Counter
	keys, refreshes, refreshed, runs      *prometheus.CounterVec
	pendingKeys, pendingAge               *prometheus.GaugeVec
	fenceLag, refreshLag                  prometheus.Histogram
}

// NewMetrics registers the metrics of the change feed.
func NewMetrics(r prometheus.Registerer) *Metrics {
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
		r.MustRegister(c)
		return c
	}
	byJob := func(name, help string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{"job"})
		r.MustRegister(c)
		return c
	}
	gauge := func(name, help string) *prometheus.GaugeVec {
		g := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, []string{"job"})
		r.MustRegister(g)
		return g
	}
	lag := func(name, help string) prometheus.Histogram {
		h := prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: name, Help: help, Buckets: prometheus.ExponentialBuckets(0.0005, 2.5, 14),
		})
		r.MustRegister(h)
		return h
	}
	m := &Metrics{
		following: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "stoker_changes_following", Help: "1 while this process follows the change feed; the sum over " +
				"all replicas is 1.",
		}),
		fenceLag: lag("stoker_changes_fence_lag_seconds",
			"Time from a commit, by Postgres' clock, until its keys were fenced."),
		refreshLag: lag("stoker_changes_refresh_lag_seconds",
			"Time from a commit, by Postgres' clock, until its keys were loaded again."),
		transactions: counter("stoker_changes_transactions_total", "Transactions that changed watched tables."),
		rows:         counter("stoker_changes_rows_total", "Changed rows of watched tables."),
		waits: counter("stoker_changes_barrier_waits_total",
			"Looks at which a commit was in the log but in no snapshot yet."),
		gaps: counter("stoker_changes_gaps_total",
			"Times that changes may have been missed and the watched jobs were run."),
		lost: counter("stoker_changes_tasks_lost_total",
			"Runs that Redis lost or that failed, and that were enqueued again."),
		keys:      byJob("stoker_changes_keys_total", "Keys fenced because rows have changed."),
		refreshes: byJob("stoker_changes_refreshes_total", "Refreshes begun because rows have changed."),
		refreshed: byJob("stoker_changes_keys_refreshed_total",
			"Keys in these refreshes: fewer than were fenced where changes were folded, more where refreshes failed."),
		runs: byJob("stoker_changes_runs_total",
			"Runs enqueued because a table has changed as a whole or by too many keys."),
		pendingKeys: gauge("stoker_changes_pending_keys",
			"Keys that are fenced and not loaded yet, looked at once a second."),
		pendingAge: gauge("stoker_changes_oldest_pending_seconds",
			"How long the oldest of these keys has been fenced."),
	}
	r.MustRegister(m.following)
	return m
}

// begin shows every job's metrics from the start.
func (m *Metrics) begin(list []*jobs.Job) {
	for _, job := range list {
		for _, c := range []*prometheus.CounterVec{m.keys, m.refreshes, m.refreshed, m.runs} {
			c.WithLabelValues(job.Name)
		}
		m.pending(job.Name, 0, time.Time{})
	}
}

// fenced counts keys that are fenced. The oldest change of them was committed then, by
// Postgres' clock, or at a time that is not known.
func (m *Metrics) fenced(job string, keys int, committed time.Time) {
	m.keys.WithLabelValues(job).Add(float64(keys))
	if !committed.IsZero() {
		m.fenceLag.Observe(max(0, time.Since(committed).Seconds()))
	}
}

func (m *Metrics) refreshing(job string, keys int) {
	m.refreshes.WithLabelValues(job).Inc()
	m.refreshed.WithLabelValues(job).Add(float64(keys))
}

func (m *Metrics) refreshedKey(committed, now time.Time) {
	if !committed.IsZero() {
		m.refreshLag.Observe(max(0, now.Sub(committed).Seconds()))
	}
}

func (m *Metrics) pending(job string, keys int, oldest time.Time) {
	age := 0.0
	if keys > 0 && !oldest.IsZero() {
		age = time.Since(oldest).Seconds()
	}
	m.pendingKeys.WithLabelValues(job).Set(float64(keys))
	m.pendingAge.WithLabelValues(job).Set(age)
}
