package verify

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
)

// tell gives the ledger what was counted since, and says how old the oldest
// confirmation is.
func (a *auditor) report(ctx context.Context) {
	for _, k := range a.walks {
		if !k.whole.IsZero() {
			a.env.metrics.oldest.WithLabelValues(k.job.Name).Set(time.Since(k.whole).Seconds())
		}
		if k.counts == (store.Audit{}) {
			continue
		}
		if err := a.env.ledger.Audited(ctx, k.job.Name, k.counts); err != nil {
			if ctx.Err() == nil {
				a.logFailure(err)
			}
			return // they are told next time
		}
		k.counts = store.Audit{}
	}
}

// say logs a key that is wrong.
func (a *auditor) logFinding(job string, s *candidate) {
	ok, left := a.lines.allow(time.Now())
	if !ok {
		return
	}
	attrs := []any{jobs.LogJob, job, "key", s.key, "kind", s.kind, jobs.LogCause, s.cause, "why", s.cause.Text()}
	if left > 0 {
		attrs = append(attrs, "not_told", left)
	}
	a.env.log.Warn("audit: a key was not as it should be; it is loaded again", attrs...)
}

// complain logs that the audit could not go on.
func (a *auditor) logFailure(err error) {
	if ok, _ := a.lines.allow(time.Now()); ok {
		a.env.log.Warn("the audit could not go on; it tries again", jobs.LogErr, err)
	}
}

// limiter lets a few lines of log through a minute, and counts the others.
type limiter struct {
	begun time.Time
	lines int
	left  int // not let through
}

const linesPerMinute = 20

// allow reports whether a line may be told, and how many before it were not.
func (l *limiter) allow(now time.Time) (ok bool, left int) {
	if now.Sub(l.begun) >= time.Minute {
		l.begun, l.lines = now, 0
	}
	if l.lines == linesPerMinute {
		l.left++
		return false, 0
	}
	l.lines++
	left, l.left = l.left, 0
	return true, left
}

// Metrics counts what an audit finds.
type Metrics struct {
	checked, stale, missing, moving, repaired *prometheus.CounterVec
	oldest                                    *prometheus.GaugeVec
}

// NewMetrics registers the metrics of an audit.
func NewMetrics(r prometheus.Registerer) *Metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "stoker_audit_" + name, Help: help}, labels)
		r.MustRegister(c)
		return c
	}
	oldest := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "stoker_audit_oldest_confirmed_seconds",
		Help: "How long ago the audit began the last round that has looked at every key."}, []string{"job"})
	r.MustRegister(oldest)
	return &Metrics{
		checked: counter("checked_total", "Keys that were compared with the database.", "job"),
		stale: counter("stale_total", "Keys with another value than the database, or one that should be gone, "+
			"by cause.", "job", "cause"),
		missing: counter("missing_total", "Keys that were not there though they have a row, by cause.", "job",
			"cause"),
		moving:   counter("moving_total", "Keys that never held still: no verdict.", "job"),
		repaired: counter("repaired_total", "Keys that were loaded again because they were wrong.", "job"),
		oldest:   oldest,
	}
}

// begin shows every job's counters from the start, as Metrics.begin does.
func (m *Metrics) begin(job *jobs.Job) {
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
