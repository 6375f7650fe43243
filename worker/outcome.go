package worker

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/hibiken/asynq"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/worker/debt"
	"github.com/stokerhq/stoker/worker/intake"
)

// ErrStopping ends runs and refreshes when the worker is stopped: their tasks go
// back to the queue as they were.
var ErrStopping = errors.New("the worker is stopping; the task goes back to the queue")

// errBusy sends an asked-for run back to the queue: the run that is going on
// began before it was asked for, so it may not show what the asker wants shown.
var errBusy = errors.New("another run of the job is going on; this one starts when it ends")

// outcome turns an error into what Asynq understands: what asking again cannot
// mend is not tried again.
func outcome(err error) error {
	_, full := errors.AsType[*store.HeadroomError](err)
	if full || store.Permanent(err) {
		return fmt.Errorf("%w: %w", err, asynq.SkipRetry)
	}
	return err
}

// tickOutcome drops a tick, or the run of an epoch, that has failed for good, where
// other tasks are archived: the archive would keep its name taken for months, and a
// daemon that starts again, the mistake mended, could not make it up. The reason is
// in the run's record.
func tickOutcome(ctx context.Context, t jobs.Run, err error) error {
	tick := t.Cause == jobs.CauseTick || t.Cause == jobs.CauseCatchUp || t.Cause == jobs.CauseEpoch
	if tick && isFailure(err) && (errors.Is(err, asynq.SkipRetry) || debt.LastTry(ctx)) {
		return fmt.Errorf("%w: %w", err, asynq.RevokeTask)
	}
	return err
}

// isFailure decides for Asynq which errors use up a retry.
func isFailure(err error) bool {
	_, handed := errors.AsType[*intake.HandedBackError](err)
	return err != nil && !handed && !errors.Is(err, ErrStopping) && !errors.Is(err, errBusy) && !debt.Refused(err)
}

// retryDelay is short: the database may be back in a second, and until then keys
// grow old. n is how often the task has failed already.
func retryDelay(n int, err error, _ *asynq.Task) time.Duration {
	if handed, is := errors.AsType[*intake.HandedBackError](err); is {
		return handed.Delay()
	}
	switch {
	case errors.Is(err, ErrStopping):
		return 0
	case errors.Is(err, errBusy):
		return time.Second
	case debt.Refused(err):
		d := debt.Pause(err)
		return d/2 + rand.N(d)
	}
	d := min(time.Second<<min(n, 5), 30*time.Second)
	return d/2 + rand.N(d)
}

// stoppable derives a context that ends with cause ErrStopping when stop is
// closed. Asynq's own context ends only after its grace period.
func stoppable(ctx context.Context, stop <-chan struct{}) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	select {
	case <-stop: // a task that was taken meanwhile is not begun
		cancel(ErrStopping)
		return ctx, func() {}
	default:
	}
	go func() {
		select {
		case <-stop:
			cancel(ErrStopping)
		case <-ctx.Done():
		}
	}()
	return ctx, func() { cancel(nil) }
}
