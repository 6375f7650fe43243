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
	lag                                   prometheus.Histogram
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
	m := &Metrics{
		following: prometheus.NewGauge(prometheus.GaugeOpts{Name: "stoker_changes_following", Help: "1 while this process follows the change feed; the sum over all replicas is 1."}),
		lag: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "stoker_changes_fence_lag_seconds", Help: "Time from a commit, by Postgres' clock, until its keys were fenced.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2.5, 14)}),
		transactions: counter("stoker_changes_transactions_total", "Transactions that changed watched tables."),
		rows:         counter("stoker_changes_rows_total", "Changed rows of watched tables."),
		waits:        counter("stoker_changes_barrier_waits_total", "Looks at which a commit was in the log but in no snapshot yet."),
		gaps:         counter("stoker_changes_gaps_total", "Times that changes may have been missed and the watched jobs were run."),
		lost:         counter("stoker_changes_tasks_lost_total", "Tasks that Redis lost and that were handed out anew."),
		keys:         byJob("stoker_changes_keys_total", "Keys fenced because rows have changed."),
		refreshes:    byJob("stoker_changes_refreshes_total", "Refresh tasks handed out."),
		refreshed:    byJob("stoker_changes_keys_refreshed_total", "Keys in refresh tasks handed out: fewer than were fenced where changes were folded."),
		runs:         byJob("stoker_changes_runs_total", "Runs handed out because a table has changed as a whole or by too many keys."),
	}
	r.MustRegister(m.following, m.lag)
	return m
}

// begin shows every job's counters from the start.
func (m *Metrics) begin(list []*jobs.Job) {
	for _, job := range list {
		for _, c := range []*prometheus.CounterVec{m.keys, m.refreshes, m.refreshed, m.runs} {
			c.WithLabelValues(job.Name)
		}
	}
}

// fenced tells of keys that are fenced; the oldest change of them was committed then,
// by Postgres' clock, or at a time that is not known.
func (m *Metrics) fenced(job string, keys int, committed time.Time) {
	m.keys.WithLabelValues(job).Add(float64(keys))
	if !committed.IsZero() {
		m.lag.Observe(max(0, time.Since(committed).Seconds()))
	}
}

func (m *Metrics) handedOut(job string, b *batch) {
	if b.keys == nil {
		m.runs.WithLabelValues(job).Inc()
		return
	}
	m.refreshes.WithLabelValues(job).Inc()
	m.refreshed.WithLabelValues(job).Add(float64(len(b.keys)))
}
