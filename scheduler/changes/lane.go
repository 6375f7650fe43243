package changes

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
)

// lane sees to the changes of one job, in a goroutine of its own: a table that is
// locked, or a query that takes long, does not hold up the other jobs.
type lane struct {
	*Follower
	job  *jobs.Job
	wake chan struct{}

	mu    sync.Mutex
	next  *jobs.Effect // what is to be seen to; it has one part at most
	round uint64       // that the oldest change of it is from
	since time.Time    // when that was committed
	busy  uint64       // the round of what is being seen to
}

// noRound is that of nothing: later than every other.
const noRound = math.MaxUint64

func (f *Follower) newLane(job *jobs.Job) *lane {
	return &lane{Follower: f, job: job, wake: make(chan struct{}, 1), next: jobs.NewEffect(f.limit), round: noRound, busy: noRound}
}

// give adds changes that a snapshot shows.
func (l *lane) give(part *jobs.Part, round uint64, committed time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.next.Take(part)
	if round < l.round {
		l.round, l.since = round, committed
	}
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// oldest is the round of the oldest change that is not on the desk.
func (l *lane) oldest() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return min(l.round, l.busy)
}

// How long a lane waits after it failed, and how long one attempt may take.
const (
	laneFirst   = 50 * time.Millisecond
	laneLongest = 2 * time.Second
	laneLimit   = 10 * time.Second
)

// run sees to what it is given until ctx ends.
func (l *lane) run(ctx context.Context) {
	pause := laneFirst
	for {
		select {
		case <-ctx.Done():
			return
		case <-l.wake:
		}
		for err := l.see(ctx); err != nil; err = l.see(ctx) {
			if ctx.Err() != nil {
				return
			}
			l.log.Warn("keys were not fenced; trying again", jobs.LogJob, l.job.Name, jobs.LogErr, err, "pause", pause)
			if !sleep(ctx, pause) {
				return
			}
			pause = min(2*pause, laneLongest)
		}
		pause = laneFirst
	}
}

// see takes what is there, fences it and puts it on the desk. What failed stays.
func (l *lane) see(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, laneLimit)
	defer cancel()
	effect, round, since := l.take()
	defer l.settle()
	for part := range effect.Parts() {
		if err := l.fence(ctx, part, effect); err != nil {
			l.give(part, round, since)
			return err
		}
		if part.Whole != "" {
			l.desk.whole(part, round)
		} else {
			l.desk.add(part, round)
		}
		l.metrics.fenced(l.job.Name, len(part.Keys), since)
	}
	return nil
}

// take takes what is there; its round stands until it is on the desk.
func (l *lane) take() (effect *jobs.Effect, round uint64, since time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	effect, round = l.next, l.round
	l.next, l.round, l.busy = jobs.NewEffect(l.limit), noRound, round
	return effect, round, l.since
}

func (l *lane) settle() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.busy = noRound
}

// fence finds the keys that lookups reach, and fences all. A value that a key column
// cannot take is in no row of the job's: such keys are left out.
func (l *lane) fence(ctx context.Context, part *jobs.Part, effect *jobs.Effect) error {
	if err := l.source.Resolve(ctx, part, effect); err != nil {
		return err
	}
	for len(part.Keys) > 0 {
		err := l.fencer.Fence(ctx, l.job, slices.Collect(maps.Values(part.Keys)))
		misfit, is := errors.AsType[*store.KeyValueError](err)
		switch {
		case err == nil:
			return nil
		case is:
			l.log.Warn("a changed row names a key that the job cannot have; it is left out", jobs.LogJob, l.job.Name, jobs.LogErr, err)
			before := len(part.Keys)
			maps.DeleteFunc(part.Keys, func(_ string, k jobs.Key) bool { return k[misfit.Column] == misfit.Value })
			if len(part.Keys) == before {
				return err
			}
		case store.Permanent(err):
			effect.Whole(l.job, fmt.Sprintf("its keys cannot be fenced: %v", err))
		default:
			return err
		}
	}
	return nil
}
