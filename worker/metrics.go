package worker

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/worker/intake"
)

// Metrics counts what workers do.
type Metrics struct {
	runs, refreshes, keys, kept, bytes, removed, oversized, skipped, restarts, refused *prometheus.CounterVec
	held                                                                               *prometheus.GaugeVec
	intake                                                                             *intake.Metrics
	pruned                                                                             prometheus.Counter
	runTime, refreshTime, databaseTime, wait                                           *prometheus.HistogramVec
}

// NewMetrics registers the worker's metrics.
func NewMetrics(r prometheus.Registerer) *Metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
		r.MustRegister(c)
		return c
	}
	histogram := func(name, help, label string, from float64) *prometheus.HistogramVec {
		h := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help,
			Buckets: prometheus.ExponentialBuckets(from, 2.5, 14)}, []string{label})
		r.MustRegister(h)
		return h
	}
	held := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "stoker_keys_held",
		Help: "Keys no longer in the result that shrink_guard has kept."}, []string{"job"})
	r.MustRegister(held)
	pruned := prometheus.NewCounter(prometheus.CounterOpts{Name: "stoker_book_pruned_total",
		Help: "Fields pruned from the book of fences."})
	r.MustRegister(pruned)
	return &Metrics{
		pruned: pruned,
		held:   held,
		runs: counter("stoker_runs_total", "Runs that ended, by how: ok, failed, interrupted, superseded.",
			"job", "outcome"),
		refreshes: counter("stoker_refreshes_total", "Refreshes that ended, by how: ok, failed, interrupted.", "job",
			"outcome"),
		keys: counter("stoker_keys_written_total", "Keys written.", "job"),
		kept: counter("stoker_keys_kept_total", "Keys whose value was in Redis already and was not sent.",
			"job"),
		restarts: counter("stoker_run_restarts_total", "How often runs began again with a new snapshot.", "job"),
		refused: counter("stoker_refresh_refusals_total",
			"How often something newer refused what a refresh had read, and it read again.", "job"),
		bytes:   counter("stoker_bytes_written_total", "Bytes of keys and values written.", "job"),
		removed: counter("stoker_keys_removed_total", "Keys removed.", "job"),
		oversized: counter("stoker_keys_oversized_total",
			"Keys not written because their value is over max_value_bytes.", "job"),
		skipped: counter("stoker_ticks_skipped_total",
			"Ticks not run because a run was still going or had covered them.", "job"),
		intake:       intake.NewMetrics(r),
		runTime:      histogram("stoker_run_duration_seconds", "How long runs took.", "job", 0.005),
		databaseTime: histogram("stoker_run_database_seconds", "How long runs held their snapshot.", "job", 0.005),
		refreshTime:  histogram("stoker_refresh_duration_seconds", "How long refreshes took.", "job", 0.0005),
		wait: histogram("stoker_queue_wait_seconds", "How long tasks waited in their queue before they began.",
			"queue", 0.001),
	}
}

// begin shows every job's counters from the start: Prometheus sees no increase in
// a counter that appears at 1, and the first failure would raise no alert.
func (m *Metrics) begin(list []*jobs.Job) {
	for _, job := range list {
		for _, c := range []*prometheus.CounterVec{m.keys, m.kept, m.bytes, m.removed, m.oversized, m.skipped,
			m.restarts, m.refused} {
			c.WithLabelValues(job.Name)
		}
		m.runs.WithLabelValues(job.Name, string(store.StateSuperseded))
		m.held.WithLabelValues(job.Name)
		for _, state := range []store.State{store.StateOK, store.StateFailed, store.StateInterrupted} {
			m.runs.WithLabelValues(job.Name, string(state))
			m.refreshes.WithLabelValues(job.Name, string(state))
		}
	}
}

// observeRun reports a run's end in metrics and in one line of log.
func (w *Worker) observeRun(rec store.Record, err error) {
	m, job := w.metrics, rec.Job
	m.runs.WithLabelValues(job, string(rec.State)).Inc()
	m.keys.WithLabelValues(job).Add(float64(max(0, rec.Keys-rec.Kept-rec.Old)))
	m.kept.WithLabelValues(job).Add(float64(rec.Kept))
	m.bytes.WithLabelValues(job).Add(float64(rec.Sent))
	m.restarts.WithLabelValues(job).Add(float64(rec.Restarts))
	if rec.State == store.StateOK && !rec.Removal {
		m.held.WithLabelValues(job).Set(float64(rec.Held))
	}
	m.removed.WithLabelValues(job).Add(float64(rec.Removed))
	m.oversized.WithLabelValues(job).Add(float64(rec.Oversized))
	m.runTime.WithLabelValues(job).Observe(rec.End.Sub(rec.Start).Seconds())
	m.databaseTime.WithLabelValues(job).Observe(rec.Database.Seconds())
	attrs := []any{jobs.LogJob, job, jobs.LogTask, rec.ID, jobs.LogCause, rec.Cause,
		"rows", rec.Rows, "keys", rec.Keys, "kept", rec.Kept, "bytes", rec.Bytes, "sent", rec.Sent, "removed",
		rec.Removed, "null_keys", rec.NullKeys, "bad_keys", rec.BadKeys, "oversized", rec.Oversized,
		"duplicate_keys", rec.Duplicates, "returned_keys", rec.Returned, "took", rec.End.Sub(rec.Start), "database",
		rec.Database, "snapshot", rec.Snapshot}
	if !rec.Due.IsZero() {
		attrs = append(attrs, jobs.LogDue, rec.Due)
	}
	switch {
	case rec.State == store.StateSuperseded:
		w.log.Info("run superseded", attrs...)
	case rec.Unchanged:
		w.log.Info("run complete: nothing was committed since the last one", attrs...)
	case rec.State == store.StateInterrupted:
		w.log.Info("run interrupted", append(attrs, jobs.LogErr, err)...)
	case err != nil:
		w.log.Error("run failed", append(attrs, jobs.LogErr, err)...)
	case rec.Warning != "":
		w.log.Warn("run complete, but not every key", append(attrs, "warning", rec.Warning)...)
	default:
		w.log.Info("run complete", attrs...)
	}
}

// observeRefresh reports a refresh's end in metrics and one line of log.
func (w *Worker) observeRefresh(id string, asked int, out Refreshed, err error) {
	m, job := w.metrics, out.Job
	state := store.StateOK
	switch {
	case errors.Is(err, ErrStopping):
		state = store.StateInterrupted
	case err != nil:
		state = store.StateFailed
	}
	m.refreshes.WithLabelValues(job, string(state)).Inc()
	m.keys.WithLabelValues(job).Add(float64(out.Keys))
	m.bytes.WithLabelValues(job).Add(float64(out.Bytes))
	m.removed.WithLabelValues(job).Add(float64(out.Removed))
	m.oversized.WithLabelValues(job).Add(float64(out.Oversized))
	m.refused.WithLabelValues(job).Add(float64(out.Refusals))
	m.refreshTime.WithLabelValues(job).Observe(out.Took.Seconds())
	attrs := []any{jobs.LogJob, job, "asked", asked, "keys", out.Keys, "removed", out.Removed, "took", out.Took}
	if id != "" {
		attrs = append(attrs, jobs.LogTask, id)
	}
	if state == store.StateInterrupted {
		w.log.Info("refresh interrupted", attrs...)
		return
	}
	switch {
	case err != nil && id == "":
		// the change feed logs it with what it does next
		w.log.Debug("refresh failed", append(attrs, jobs.LogErr, err)...)
	case err != nil:
		w.log.Error("refresh failed", append(attrs, jobs.LogErr, err)...)
	case out.Warning != "":
		w.log.Warn("refresh complete, but not every key", append(attrs, "warning", out.Warning)...)
	default:
		w.log.Debug("refresh complete", attrs...)
	}
}

// countRefresh counts a refresh in the ledger, or keeps why it failed.
func (w *Worker) countRefresh(ctx context.Context, job string, asked int, err error) {
	ctx, cancel := store.Afterwards(ctx, afterwardsLimit)
	defer cancel()
	if lerr := w.ledger.Refreshed(ctx, job, asked, err); lerr != nil {
		w.log.Warn("a refresh was not counted", jobs.LogJob, job, jobs.LogErr, lerr)
	}
}

// observeWait records how long a task waited since it was enqueued.
func (m *Metrics) observeWait(queue string, since time.Time) {
	m.wait.WithLabelValues(queue).Observe(max(0, time.Since(since).Seconds()))
}
