package queue

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/stokerhq/stoker/jobs"
)

// Watcher looks again and again whether a queue is paused: everything looks well then, and nothing is done.
type Watcher struct {
	queues *Queues
	every  time.Duration
	gauge  *prometheus.GaugeVec
	log    *slog.Logger
	paused atomic.Pointer[[]jobs.PausedQueue]
}

// watchEvery is how soon it is noticed that a queue was paused or resumed.
const watchEvery = 5 * time.Second

// NewWatcher returns a watcher of the queues, and registers its metric.
func NewWatcher(q *Queues, metrics prometheus.Registerer, log *slog.Logger) *Watcher {
	gauge := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "stoker_queue_paused",
		Help: "1 while someone has paused the queue, so that no worker is given its tasks."}, []string{"queue"})
	metrics.MustRegister(gauge)
	for _, name := range jobs.Queues {
		gauge.WithLabelValues(name)
	}
	return &Watcher{queues: q, every: watchEvery, gauge: gauge, log: log}
}

// Run watches until ctx ends.
func (w *Watcher) Run(ctx context.Context) {
	tick := time.NewTicker(w.every)
	defer tick.Stop()
	for {
		w.check(ctx)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Paused returns the queues that were paused a moment ago.
func (w *Watcher) Paused() []jobs.PausedQueue {
	if p := w.paused.Load(); p != nil {
		return *p
	}
	return nil
}

// check reads which queues are paused, and logs what has changed.
func (w *Watcher) check(ctx context.Context) {
	limited, cancel := context.WithTimeout(ctx, w.every)
	defer cancel()
	now, err := w.queues.Paused(limited)
	if err != nil {
		w.log.Debug("the queues were not looked at", jobs.LogErr, err) // whatever else uses Redis warns
		return
	}
	before := byName(w.Paused())
	w.paused.Store(&now)
	for _, p := range now {
		w.gauge.WithLabelValues(p.Queue).Set(1)
		if _, known := before[p.Queue]; !known {
			w.log.Warn(p.String(), "queue", p.Queue)
		}
		delete(before, p.Queue)
	}
	for name := range before {
		w.gauge.WithLabelValues(name).Set(0)
		w.log.Info("queue "+name+" is resumed", "queue", name)
	}
}

func byName(list []jobs.PausedQueue) map[string]jobs.PausedQueue {
	m := make(map[string]jobs.PausedQueue, len(list))
	for _, p := range list {
		m[p.Queue] = p
	}
	return m
}
