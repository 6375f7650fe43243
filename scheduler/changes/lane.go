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
	for {
		select {
		case <-ctx.Done():
			return
		case <-l.wake:
		}
		pause, late := laneFirst, 0
		for err := l.see(ctx, late); err != nil; err = l.see(ctx, late) {
			if ctx.Err() != nil {
				return
			}
			if errors.Is(err, context.DeadlineExceeded) {
				late++
			}
			l.log.Warn("keys were not fenced; trying again", jobs.LogJob, l.job.Name, jobs.LogErr, err, "pause", pause)
			if !sleep(ctx, pause) {
				return
			}
			pause = min(2*pause, laneLongest)
		}
	}
}

// mostLate is how often a part may take longer than laneLimit before its job is run
// instead: a keys query that takes that long never comes to an end.
const mostLate = 2

// see takes what is there, fences it and puts it on the desk. What failed stays.
func (l *lane) see(ctx context.Context, late int) error {
	ctx, cancel := context.WithTimeout(ctx, laneLimit)
	defer cancel()
	effect, round, since := l.take()
	defer l.settle()
	for part := range effect.Parts() {
		if late >= mostLate {
			effect.Whole(l.job, "its keys could not be found and fenced in time")
		}
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

// fence fences the keys that changed rows have named, and then those that lookups
// reach: a table that a lookup has to wait for does not hold up the others.
func (l *lane) fence(ctx context.Context, part *jobs.Part, effect *jobs.Effect) error {
	if err := l.fenceKeys(ctx, part, effect); err != nil || len(part.Lookups) == 0 {
		return err
	}
	if err := l.source.Resolve(ctx, part, effect); err != nil {
		return err
	}
	return l.fenceKeys(ctx, part, effect)
}

// fenceKeys fences the keys of a part. A value that a key column cannot take is in no
// row of the job's: such keys are left out. One that it would round or cut may be
// there, as the query has it: then the job is run.
func (l *lane) fenceKeys(ctx context.Context, part *jobs.Part, effect *jobs.Effect) error {
	for len(part.Keys) > 0 {
		err := l.fencer.Fence(ctx, l.job, slices.Collect(maps.Values(part.Keys)))
		misfit, is := errors.AsType[*store.KeyValueError](err)
		switch {
		case err == nil:
			return nil
		case is && !misfit.Cut:
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
