package scheduler

import (
	"context"
	"iter"
	"time"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
)

// longestSleep bounds one sleep, so that a wall clock that was set, or a machine
// that slept, is noticed.
const longestSleep = 10 * time.Second

// ticks yields the due times of a schedule after start, each when its time has
// come, until ctx ends. If several have passed by then (the process was
// suspended, the consumer was slow), only the last is yielded, with the number
// of those it stands for.
func ticks(ctx context.Context, schedule *jobs.Schedule, start time.Time) iter.Seq2[time.Time, int64] {
	return func(yield func(due time.Time, passed int64) bool) {
		for due := schedule.Next(start); !due.IsZero(); due = schedule.Next(due) {
			if !sleepUntil(ctx, due) {
				return
			}
			var passed int64
			now := time.Now()
			for next := schedule.Next(due); !next.IsZero() && !next.After(now); next = schedule.Next(next) {
				due = next
				passed++
			}
			if !yield(due, passed) {
				return
			}
		}
	}
}

// sleepUntil waits for a wall clock time and reports whether it came before ctx
// ended.
func sleepUntil(ctx context.Context, due time.Time) bool {
	for {
		// Round(0) leaves the wall clock alone to decide.
		wait := due.Round(0).Sub(time.Now().Round(0))
		if wait <= 0 {
			return ctx.Err() == nil
		}
		if !store.Sleep(ctx, min(wait, longestSleep)) {
			return false
		}
	}
}
