package memory

import (
	"context"
	"crypto/rand"
	"slices"
	"time"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
)

const (
	// leaseName is that of who runs jobs after an eviction: it is one of all replicas. No job can have the name.
	leaseName = "#eviction"
	leaseTTL  = time.Minute

	// soon is how long after a refill an eviction is taken for the refill's.
	soon = 5 * time.Minute
)

// end says that an eviction has ended, and does what can be done about it.
func (w *Watcher) end(ctx context.Context, e *store.Eviction) {
	w.going.Set(0)
	missing := w.missing(ctx)
	e.Refill = w.decide(*e, missing)
	if e.Refill == store.RefillBegun {
		w.refill(ctx, e, missing)
	}
	level := w.cfg.Log.Info
	if e.Wrong() {
		level = w.cfg.Log.Warn
	}
	level("the eviction has ended: "+e.String(), "evicted", e.Keys, "took", e.Last.Sub(e.Since).Round(time.Second),
		"refill", e.Refill)
}

// lack is what a job has lost, by a sample.
type lack struct {
	job   *jobs.Job
	bytes int64
}

// missing are the jobs of which sampled keys are gone.
func (w *Watcher) missing(ctx context.Context) (list []lack) {
	for _, job := range w.cfg.Spec().Jobs {
		present, of, err := w.cfg.Warmth.Warmth(ctx, job.Name)
		if err != nil || present == of {
			continue
		}
		last, is, err := w.cfg.Ledger.LastComplete(ctx, job.Name)
		if err != nil || !is {
			continue
		}
		list = append(list, lack{job, last.Missing(present, of)})
	}
	return list
}

// decide says whether runs can help. What fits beside what is there can; unless it was so before, and evicted again.
func (w *Watcher) decide(e store.Eviction, missing []lack) store.Refill {
	if w.futile && e.Max > w.limit {
		w.futile = false
	}
	if !w.refilled.IsZero() && e.Since.After(w.refilled) && e.Since.Sub(w.refilled) < soon && e.Max <= w.limit {
		w.futile = true
	}
	var bytes int64
	for _, l := range missing {
		bytes += l.bytes
	}
	switch {
	case len(missing) == 0:
		return store.RefillNone
	case w.futile:
		return store.RefillFutile
	case e.Max > 0 && e.Used+bytes > w.room(e.Max, missing):
		return store.RefillNoRoom
	}
	return store.RefillBegun
}

// room is up to where the runs may fill a memory: they leave redis.headroom free, or would be refused, unless all are
// of jobs that may evict other keys.
func (w *Watcher) room(most int64, missing []lack) int64 {
	if !slices.ContainsFunc(missing, func(l lack) bool { return !l.job.Evictable }) {
		return most
	}
	return most - w.cfg.Spec().Redis.Free(most)
}

// refill enqueues the runs, if no other replica does.
func (w *Watcher) refill(ctx context.Context, e *store.Eviction, missing []lack) {
	w.refilled, w.limit = time.Now(), e.Max
	mine, err := w.cfg.Ledger.Lease(ctx, leaseName, rand.Text(), leaseTTL)
	if err == nil && !mine {
		return
	}
	for _, l := range missing {
		if err == nil {
			_, err = w.cfg.Enqueuer.EnqueueContext(ctx, jobs.NewTick(l.job.Name, e.Until, jobs.CauseCatchUp))
		}
		if err != nil {
			w.cfg.Log.Warn("a job that has lost keys is not run now; its schedule does it", jobs.LogJob, l.job.Name,
				jobs.LogErr, err)
			continue
		}
		w.refills.Inc()
		w.cfg.Log.Info("run enqueued: keys were evicted, and fit again", jobs.LogJob, l.job.Name)
	}
}
