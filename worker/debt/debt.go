// Package debt keeps what was accepted while Redis refuses writes, as one does for minutes whose replica is missing or
// whose disk is full: its tasks are tried again for as long as that takes, and cost Postgres nothing meanwhile.
package debt

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/hibiken/asynq"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
)

// Prober reports why Redis takes no writes; store/cache does.
type Prober interface {
	Probe(ctx context.Context) error
}

// Gate keeps work from the database that would come to nothing. It is safe for concurrent use.
type Gate struct {
	cache   Prober
	refusal atomic.Pointer[store.Refusal] // the last, if no write was taken since
}

// NewGate returns the gate of a cache.
func NewGate(cache Prober) *Gate { return &Gate{cache: cache} }

// outOfMemory is the one refusal that fences and removals pass.
const outOfMemory = "OOM"

// Admit reports why the cache takes no writes, if the last one was refused and the reason has not gone. fenced is
// for work that has nothing left to fence: only then does a Redis that is full stand in its way.
func (g *Gate) Admit(ctx context.Context, fenced bool) error {
	last := g.refusal.Load()
	if last == nil || last.Code == outOfMemory && !fenced {
		return nil
	}
	if err := g.cache.Probe(ctx); err != nil {
		return err
	}
	g.refusal.Store(nil)
	return nil
}

// Note remembers for Admit that the cache has refused a write, and returns err with what to do about it.
func (g *Gate) Note(err error) error {
	if r, is := store.RefusalIn(err); is {
		g.refusal.Store(&r)
	}
	return store.WithRemedy(err)
}

// Probe reports why a run would come to nothing, before the database is asked for its rows. A Redis that is full
// still takes removals, and longer TTLs of what it holds.
func (g *Gate) Probe(ctx context.Context) error {
	err := g.cache.Probe(ctx)
	if r, is := store.RefusalIn(err); is && r.Code != outOfMemory {
		return err
	}
	return nil // that Redis does not answer, the run itself finds out
}

// Refused reports whether Redis has refused what was to be done.
func Refused(err error) bool {
	_, is := store.RefusalIn(err)
	return is
}

// How often a task is tried again that Redis has refused. A full Redis is not known to have room again before a
// value is sent.
const (
	refusedPause = 2 * time.Second
	fullPause    = 15 * time.Second
)

// Pause is how long a refused task waits for its next try.
func Pause(err error) time.Duration {
	if r, _ := store.RefusalIn(err); r.Code == outOfMemory {
		return fullPause
	}
	return refusedPause
}

// Outcome is that of a run that Redis has refused. It is tried until it is done; a tick only until the next one
// of the job, which stands for it.
func Outcome(job *jobs.Job, t jobs.Run, err error) error {
	if t.Cause == jobs.CauseTick && job.Schedule != nil && job.Schedule.Next(time.Unix(t.Due, 0)).Before(time.Now()) {
		return fmt.Errorf("%w; the next tick does it: %w", err, asynq.RevokeTask)
	}
	return err
}

// Patiently does a task, and on its last try again and again as long as Redis refuses: Asynq would archive it.
func Patiently(ctx context.Context, do func(context.Context) error) error {
	for {
		err := do(ctx)
		if !Refused(err) || errors.Is(err, asynq.RevokeTask) || !LastTry(ctx) || !store.Sleep(ctx, Pause(err)) {
			return err
		}
	}
}

// LastTry reports whether the task has no retry left. Asynq then archives it
// for any error, also for one that uses up no retry.
func LastTry(ctx context.Context) bool {
	done, ok1 := asynq.GetRetryCount(ctx)
	most, ok2 := asynq.GetMaxRetry(ctx)
	return ok1 && ok2 && done >= most
}
