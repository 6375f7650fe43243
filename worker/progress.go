package worker

import (
	"context"
	"time"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
)

// progressEvery is how often progress is published.
const progressEvery = 250 * time.Millisecond

// publishProgress publishes progress until the returned function is called.
func (r *run) publishProgress(ctx context.Context) (stop func()) {
	expected := r.expected(ctx) // now: with one connection, the run would keep the planner's guess waiting
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(progressEvery)
		defer tick.Stop()
		for {
			r.report(ctx, expected)
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	}()
	return func() { cancel(); <-done }
}

// estimator is a Source that can guess how many rows a run will have.
type estimator interface {
	Estimate(ctx context.Context, job *jobs.Job) (rows int64, err error)
}

// expected is how many rows the last complete run had, or else the planner's
// guess. 0 is unknown: progress merely has no percentage then.
func (r *run) expected(ctx context.Context) int64 {
	if last, ok, err := r.w.ledger.LastComplete(ctx, r.job.Name); err == nil && ok {
		return last.Rows
	}
	if e, ok := r.w.source.(estimator); ok {
		if rows, err := e.Estimate(ctx, r.job); err == nil {
			return rows
		}
	}
	return 0 // what is wrong with the ledger or the query, the run itself will tell
}

func (r *run) report(ctx context.Context, expected int64) {
	p := store.Progress{ID: r.rec.ID, Job: r.job.Name, Start: r.rec.Start, Rows: r.rows.Load(), Expected: expected}
	if why := r.waiting.Load(); why != nil {
		p.Waiting = *why
	}
	if pipe := r.pipe.Load(); pipe != nil {
		p.Keys, p.Bytes = pipe.Progress()
	}
	if r.watch != nil {
		r.watch(p)
	}
	if err := r.w.ledger.Report(ctx, p); err != nil && ctx.Err() == nil && !r.mute {
		r.mute = true // once is enough: the next report comes in a moment
		r.w.log.Warn("progress was not published", jobs.LogJob, r.job.Name, jobs.LogErr, err)
	}
}
