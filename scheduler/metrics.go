package scheduler

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/stokerhq/stoker/jobs"
)

// Metrics counts what the scheduler does, by job, and by queue.
type Metrics struct {
	due, missed, failed *prometheus.CounterVec
	rescues, orphans    *prometheus.CounterVec
}

// NewMetrics registers the scheduler's metrics.
func NewMetrics(r prometheus.Registerer) *Metrics {
	counter := func(name, help string, label ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, label)
		r.MustRegister(c)
		return c
	}
	return &Metrics{
		due: counter("stoker_ticks_due_total", "Ticks that came due in this process.", "job"),
		missed: counter("stoker_ticks_missed_total",
			"Ticks that came too late or could not be enqueued before the next one.", "job"),
		failed: counter("stoker_enqueue_failures_total",
			"Attempts to enqueue a tick that failed and were tried again.", "job"),
		rescues: counter("stoker_tasks_repeated_total",
			"Tasks handed out a second time because they were not done in time.", "queue"),
		orphans: counter("stoker_tasks_orphaned_total",
			"Tasks in hand that no worker had, taken out of the list once they were handed out again.", "queue"),
	}
}

// begin shows every job's counters from the start: Prometheus sees no increase in
// a counter that appears at 1, and the first missed tick would raise no alert.
func (m *Metrics) begin(list []*jobs.Job) {
	for _, c := range []*prometheus.CounterVec{m.due, m.missed, m.failed} {
		for _, job := range list {
			c.WithLabelValues(job.Name)
		}
	}
}
