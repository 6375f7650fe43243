package changes

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/jobs/tracing"
	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/feed"
)

// jobFencer fences the keys of one job, in a goroutine of its own: a table that is locked, or
// a query that takes long, does not hold up the other jobs.
type jobFencer struct {
	job        *jobs.Job
	limit      int // keys that one effect holds
	database   Database
	fencer     Fencer
	refresher  *refresher  // is given fenced keys
	dispatcher *dispatcher // is given runs
	metrics    *Metrics
	tracer     *tracing.Tracer
	log        *slog.Logger
	wake       chan struct{}

	mu        sync.Mutex
	next      *feed.Effect // not yet begun; of this job alone
	nextRound uint64       // of its oldest change
	nextSince time.Time    // when the oldest was committed; zero: not known
	current   uint64       // the round of what is being fenced
	since     time.Time    // when the oldest change of that was committed
}

func newJobFencer(job *jobs.Job, c Config, r *refresher, d *dispatcher) *jobFencer {
	return &jobFencer{
		job: job, limit: c.RunAbove, database: c.Database, fencer: c.Fencer, refresher: r, dispatcher: d,
		metrics: c.Metrics, tracer: c.Tracer, log: c.Log, wake: make(chan struct{}, 1),
		next: feed.NewEffect(c.RunAbove), nextRound: noRound, current: noRound,
	}
}

// give adds changes that a snapshot shows.
func (f *jobFencer) give(part *feed.Part, round uint64, committed time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.next.Take(part)
	if f.nextRound == noRound {
		f.nextSince = committed
	}
	f.nextRound, f.nextSince = min(f.nextRound, round), older(f.nextSince, committed)
	signal(f.wake)
}

// oldest implements rounds.
func (f *jobFencer) oldest() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return min(f.nextRound, f.current)
}

// How long a fencer waits after it failed, and how long one attempt may take.
const (
	fencePause        = 50 * time.Millisecond
	fenceLongestPause = 2 * time.Second
	fenceLimit        = 10 * time.Second
)

// run fences what it is given until ctx ends.
func (f *jobFencer) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-f.wake:
		}
		pause, timeouts := fencePause, 0
		for err := f.fenceNext(ctx, timeouts); err != nil; err = f.fenceNext(ctx, timeouts) {
			if ctx.Err() != nil {
				return
			}
			if errors.Is(err, context.DeadlineExceeded) {
				timeouts++
			}
			f.log.Warn("keys were not fenced; trying again", jobs.LogJob, f.job.Name, jobs.LogErr, err, "pause", pause)
			if !store.Sleep(ctx, pause) {
				return
			}
			pause = min(2*pause, fenceLongestPause)
		}
	}
}

// mostTimeouts is how often a part may take longer than fenceLimit before its job is run
// instead: a keys query that takes that long would never come to an end.
const mostTimeouts = 2

// fenceNext takes what was given, fences it and passes it on. What fails stays.
func (f *jobFencer) fenceNext(ctx context.Context, timeouts int) error {
	ctx, cancel := context.WithTimeout(ctx, fenceLimit)
	defer cancel()
	effect, round, committed := f.take()
	defer f.finish()
	for part := range effect.Parts() {
		if timeouts >= mostTimeouts {
			effect.Rerun(f.job, "its keys could not be found and fenced in time")
		}
		fencing, span := f.tracer.Start(ctx, tracing.Begin{Name: "change", Job: f.job.Name, Kind: tracing.Consumer,
			At: traceFrom(committed)})
		if err := f.fence(fencing, part, effect); err != nil {
			span.EndWith(err)
			f.give(part, round, committed)
			return err
		}
		f.metrics.fenced(f.job.Name, len(part.Keys), committed)
		span.Count("keys", int64(len(part.Keys)))
		span.Text("rerun", part.RerunReason)
		span.End()
		if part.RerunReason != "" {
			f.dispatcher.add(f.job, part.RerunReason, round, committed, span.Link())
		} else {
			f.refresher.add(part, round, committed, span.Link())
		}
	}
	return nil
}

// traceFrom is when the span of a change begins: at its COMMIT, if that is known, and not in the future: its time is
// by the clock of Postgres.
func traceFrom(committed time.Time) time.Time {
	if now := time.Now(); committed.IsZero() || committed.After(now) {
		return now
	}
	return committed
}

// take takes what was given; its round stands until finish.
func (f *jobFencer) take() (effect *feed.Effect, round uint64, committed time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	effect, round, committed = f.next, f.nextRound, f.nextSince
	f.next, f.nextRound, f.current, f.since = feed.NewEffect(f.limit), noRound, round, committed
	return effect, round, committed
}

// committed implements places.
func (f *jobFencer) committed(string) (oldest time.Time, waits bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.nextRound != noRound {
		oldest, waits = oldestOf(oldest, waits, f.nextSince)
	}
	if f.current != noRound {
		oldest, waits = oldestOf(oldest, waits, f.since)
	}
	return oldest, waits
}

func (f *jobFencer) finish() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.current = noRound
}

// fence fences the keys that changed rows have named, and then those that lookups reach: a
// table that a lookup has to wait for does not hold up the others.
func (f *jobFencer) fence(ctx context.Context, part *feed.Part, effect *feed.Effect) error {
	if err := f.fenceKeys(ctx, part, effect); err != nil || part.Resolved() {
		return err
	}
	if err := f.database.Resolve(ctx, part, effect); err != nil {
		return err
	}
	return f.fenceKeys(ctx, part, effect)
}

// fenceKeys fences the keys of a part. A value that a key column cannot take is in no row of
// the job: such keys are left out. One that the type would round or cut may be there in
// another form: then the job is run.
func (f *jobFencer) fenceKeys(ctx context.Context, part *feed.Part, effect *feed.Effect) error {
	for len(part.Keys) > 0 {
		err := f.fencer.Fence(ctx, f.job, slices.Collect(maps.Values(part.Keys)))
		misfit, is := errors.AsType[*store.KeyValueError](err)
		switch {
		case err == nil:
			return nil
		case is && !misfit.Cut:
			f.log.Warn("a changed row names a key that the job cannot have; it is left out", jobs.LogJob, f.job.Name,
				jobs.LogErr, err)
			before := len(part.Keys)
			maps.DeleteFunc(part.Keys, func(_ string, k jobs.Key) bool { return k[misfit.Column] == misfit.Value })
			if len(part.Keys) == before {
				return err
			}
		case store.Permanent(err):
			effect.Rerun(f.job, fmt.Sprintf("its keys cannot be fenced: %v", err))
		default:
			return err
		}
	}
	return nil
}

// signal puts a token into a channel that holds as many as matter.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
