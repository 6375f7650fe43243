package worker

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/worker/render"
)

// refusal is an answer of Redis, as go-redis knows it.
type refusal string

func (r refusal) Error() string { return string(r) }
func (refusal) RedisError()     {}

// Broken by: a script that fails at once and is not waited for (Asynq would ask
// again 16,000 times a second), or an answer that is taken for a failure (every
// look into an empty queue would wait).
func TestCalmWaitsAfterAFailedScript(t *testing.T) {
	for _, tc := range []struct {
		cmd   string
		err   error
		waits bool
	}{
		{"evalsha", refusal("OOM command not allowed when used memory > 'maxmemory'."), true},
		{"eval", errors.New("connection refused"), true},
		{"evalsha", refusal("NOSCRIPT No matching script."), false},
		{"evalsha", redis.Nil, false},
		{"evalsha", nil, false},
		{"get", refusal("OOM"), false},
	} {
		synctest.Test(t, func(t *testing.T) {
			do := backoffHook{}.ProcessHook(func(context.Context, redis.Cmder) error { return tc.err })
			start := time.Now()
			err := do(t.Context(), redis.NewCmd(t.Context(), tc.cmd))
			waited := time.Since(start)
			if err != tc.err {
				t.Errorf("%s: error %v became %v", tc.cmd, tc.err, err)
			}
			if tc.waits && (waited < 200*time.Millisecond || waited > 400*time.Millisecond) || !tc.waits &&
				waited != 0 {
				t.Errorf("%s, %v: waited %s", tc.cmd, tc.err, waited)
			}
		})
	}
	// Nobody is kept waiting who has given up.
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		start := time.Now()
		err := backoffHook{}.ProcessHook(func(context.Context, redis.Cmder) error { return refusal("OOM") })(ctx,
			redis.NewCmd(ctx, "eval"))
		if err == nil || time.Since(start) != 0 {
			t.Errorf("%v after %s", err, time.Since(start))
		}
	})
}

// Broken by: an error for good that is retried, or one that passes that is not.
func TestOutcomes(t *testing.T) {
	for _, tc := range []struct {
		err       error
		permanent bool
	}{
		{&store.QueryError{SQLState: "42703"}, true},
		{&store.QueryError{SQLState: "22012"}, true},
		{fmt.Errorf("after row 7: %w", &store.QueryError{SQLState: "42501"}), true},
		{&store.QueryError{SQLState: "57P01"}, false},
		{&store.QueryError{SQLState: "40001"}, false},
		{&store.KeyValueError{}, true},
		{&render.RowError{Row: 7, Err: &store.ShapeError{}}, true},
		{errors.New("connection refused"), false},
		{ErrStopping, false},
	} {
		got := outcome(tc.err)
		if errors.Is(got, asynq.SkipRetry) != tc.permanent || !errors.Is(got, tc.err) {
			t.Errorf("%v became %v", tc.err, got)
		}
	}
	for err, failure := range map[error]bool{errors.New("x"): true, ErrStopping: false,
		fmt.Errorf("after row 1: %w", ErrStopping): false, errBusy: false, nil: false,
		&handedBackError{err: errBusy}: false} {
		if isFailure(err) != failure {
			t.Errorf("%v uses up a retry: %v", err, !failure)
		}
	}
	for n := range 40 {
		if d, most := retryDelay(n, errors.New("x"), nil), 45*time.Second; d < 500*time.Millisecond || d > most ||
			n == 0 && d > 1500*time.Millisecond {
			t.Errorf("retry %d after %s", n, d)
		}
	}
	if d := retryDelay(3, ErrStopping, nil); d != 0 {
		t.Errorf("an interrupted task waits %s", d)
	}
	if d := retryDelay(3, errBusy, nil); d != time.Second {
		t.Errorf("a run that waits for another looks again after %s", d)
	}
}

// Broken by: no connection for a kind of task, or more than the spec allows.
func TestShare(t *testing.T) {
	for n := 1; n < 20; n++ {
		c := Share(n)
		if c.Runs < 1 || c.Refreshes < 1 || n > 1 && c.Runs+c.Refreshes != n {
			t.Errorf("of %d connections: %+v", n, c)
		}
	}
}
