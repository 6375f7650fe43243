package worker

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/stokerhq/stoker/jobs"
)

// auditMetrics counts what an audit finds.
type auditMetrics struct {
	checked, stale, missing, moving, repaired *prometheus.CounterVec
	oldest                                    *prometheus.GaugeVec
}

func newAuditMetrics(r prometheus.Registerer) auditMetrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "stoker_audit_" + name, Help: help}, labels)
		r.MustRegister(c)
		return c
	}
	oldest := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "stoker_audit_oldest_confirmed_seconds",
		Help: "How long ago the audit began the last round that has looked at every key."}, []string{"job"})
	r.MustRegister(oldest)
	return auditMetrics{
		checked:  counter("checked_total", "Keys that were compared with the database.", "job"),
		stale:    counter("stale_total", "Keys with another value than the database, or one that should be gone, by cause.", "job", "cause"),
		missing:  counter("missing_total", "Keys that were not there though they have a row, by cause.", "job", "cause"),
		moving:   counter("moving_total", "Keys that never held still: no verdict.", "job"),
		repaired: counter("repaired_total", "Keys that were loaded again because they were wrong.", "job"),
		oldest:   oldest,
	}
}

// begin shows every job's counters from the start, as Metrics.begin does.
func (m auditMetrics) begin(job *jobs.Job) {
	for _, c := range []*prometheus.CounterVec{m.checked, m.moving, m.repaired} {
		c.WithLabelValues(job.Name)
	}
	for _, cause := range []Cause{CauseRefresh, CauseUnreported, CauseSchedule, CauseOverwrite, CauseStray} {
		m.stale.WithLabelValues(job.Name, string(cause))
	}
	for _, cause := range []Cause{CauseRefresh, CauseUnreported, CauseSchedule, CauseGone} {
		m.missing.WithLabelValues(job.Name, string(cause))
	}
}
