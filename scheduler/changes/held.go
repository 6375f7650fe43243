package changes

import (
	"context"
	"log/slog"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store/feed"
)

const (
	heldEvery = 10 * time.Second // how often the outbox is looked at
	longOpen  = time.Minute      // how long a transaction is open when it is named
	largeHeld = 16 << 20         // bytes of the outbox from which on the log names it too
)

// HeldReader reads how large the outbox is, and what keeps its dead rows.
type HeldReader interface {
	Held(ctx context.Context) (feed.Held, error)
}

// HeldConfig is what WatchHeld needs. Every field but Every is required.
type HeldConfig struct {
	Outbox  HeldReader
	Metrics prometheus.Registerer
	Log     *slog.Logger
	Every   time.Duration // between looks; 0: ten seconds
}

// heldWatch names the transaction that keeps the dead rows of the outbox.
type heldWatch struct {
	log    *slog.Logger
	bytes  prometheus.Gauge
	oldest *prometheus.GaugeVec

	holder  feed.Holder // of the last look
	since   time.Time   // when it was first seen
	nextLog int64       // bytes of the outbox at which the log names it again
}

// WatchHeld publishes until ctx ends how large the outbox is, and which transaction has
// been open for long, as a metric and, once the outbox grows, in the log.
func WatchHeld(ctx context.Context, cfg HeldConfig) {
	w := &heldWatch{log: cfg.Log, nextLog: largeHeld,
		bytes: prometheus.NewGauge(prometheus.GaugeOpts{Name: "stoker_outbox_bytes",
			Help: "Size of the outbox and its index, with the dead rows that a long transaction keeps."}),
		oldest: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "stoker_outbox_oldest_transaction_seconds",
			Help: "Age of the oldest open transaction, which keeps dead rows from being removed; none below a minute."},
			[]string{"pid", "application", "database"}),
	}
	cfg.Metrics.MustRegister(w.bytes, w.oldest)
	every := heldEvery
	if cfg.Every > 0 {
		every = cfg.Every
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		held, err := cfg.Outbox.Held(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			// At debug level: the follower reports that the database is away.
			w.log.Debug("the outbox could not be looked at", jobs.LogErr, err)
		default:
			w.show(held, time.Now())
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// show publishes one look. The age of another role's transaction may be hidden: then it is
// as old as we know it.
func (w *heldWatch) show(held feed.Held, now time.Time) {
	h := held.Holder
	if h.Kind != w.holder.Kind || h.PID != w.holder.PID || h.Transaction != w.holder.Transaction ||
		h.Application != w.holder.Application {
		w.since = now
	}
	w.holder = h
	age := max(h.Age, now.Sub(w.since))
	w.bytes.Set(float64(held.Bytes))
	w.oldest.Reset()
	if held.Bytes < largeHeld/2 {
		w.nextLog = largeHeld
	}
	if h.Kind == "" || age < longOpen {
		return
	}
	pid := ""
	if h.PID > 0 {
		pid = strconv.Itoa(h.PID)
	}
	w.oldest.WithLabelValues(pid, h.Application, h.Database).Set(age.Seconds())
	if held.Bytes < w.nextLog {
		return
	}
	w.nextLog = 2 * held.Bytes
	w.log.Warn("the outbox grows, because a transaction that is open for long keeps its dead rows, and those of every "+
		"table, from being removed: end it", "kind", h.Kind, "pid", h.PID, "application", h.Application,
		"database", h.Database, "role", h.Role, "state", h.State, "age", age.Round(time.Second).String(),
		"outbox_bytes", held.Bytes, "statement", h.Remedy())
}
