package debt

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
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
			do := Hook{}.ProcessHook(func(context.Context, redis.Cmder) error { return tc.err })
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
		err := Hook{}.ProcessHook(func(context.Context, redis.Cmder) error { return refusal("OOM") })(ctx,
			redis.NewCmd(ctx, "eval"))
		if err == nil || time.Since(start) != 0 {
			t.Errorf("%v after %s", err, time.Since(start))
		}
	})
}
