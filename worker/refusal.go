package worker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hibiken/asynq"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
)

// A Redis that refuses writes may do so for minutes: a replica is missing, its disk is full. What was accepted
// before is owed until then: its tasks are tried again for as long as that takes, and cost Postgres nothing
// meanwhile.

// outOfMemory is the one refusal that fences and removals pass.
const outOfMemory = "OOM"

// admit reports why the cache takes no writes, if the last one was refused and the reason has not gone. fenced is
// for work that has nothing left to fence: only then does a Redis that is full stand in its way.
func (w *Worker) admit(ctx context.Context, fenced bool) error {
	last := w.refusal.Load()
	if last == nil || last.Code == outOfMemory && !fenced {
		return nil
	}
	if err := w.cache.Probe(ctx); err != nil {
		return err
	}
	w.refusal.Store(nil)
	return nil
}

// noteRefusal remembers for admit that the cache has refused a write, and returns err with what to do about it.
func (w *Worker) noteRefusal(err error) error {
	if r, is := store.RefusalIn(err); is {
		w.refusal.Store(&r)
	}
	return store.WithRemedy(err)
}

// probe reports why a run would come to nothing, before the database is asked for its rows. A Redis that is full
// still takes removals, and longer TTLs of what it holds.
func (w *Worker) probe(ctx context.Context) error {
	err := w.cache.Probe(ctx)
	if r, is := store.RefusalIn(err); is && r.Code != outOfMemory {
		return err
	}
	return nil // that Redis does not answer, the run itself finds out
}

func refused(err error) bool {
	_, is := store.RefusalIn(err)
	return is
}

// How often a task is tried again that Redis has refused. A full Redis is not known to have room again before a
// value is sent.
const (
	refusedPause = 2 * time.Second
	fullPause    = 15 * time.Second
)

func refusalPause(err error) time.Duration {
	if r, _ := store.RefusalIn(err); r.Code == outOfMemory {
		return fullPause
	}
	return refusedPause
}

// owed is the outcome of a run that Redis has refused. It is tried until it is done; a tick only until the next one
// of the job, which stands for it.
func owed(job *jobs.Job, t jobs.Run, err error) error {
	if t.Cause == jobs.CauseTick && job.Schedule != nil && job.Schedule.Next(time.Unix(t.Due, 0)).Before(time.Now()) {
		return fmt.Errorf("%w; the next tick does it: %w", err, asynq.RevokeTask)
	}
	return err
}

// patiently does a task, and on its last try again and again as long as Redis refuses: Asynq would archive it.
func patiently(ctx context.Context, do func(context.Context) error) error {
	for {
		err := do(ctx)
		if !refused(err) || errors.Is(err, asynq.RevokeTask) || !lastTry(ctx) || !store.Sleep(ctx, refusalPause(err)) {
			return err
		}
	}
}
