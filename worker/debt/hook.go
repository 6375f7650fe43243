package debt

import (
	"context"
	"math/rand/v2"
	"net"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stokerhq/stoker/store"
)

// Hook is a go-redis hook for Asynq's client. When taking a task fails at once
// (Redis is full, read-only, or refuses us), Asynq tries again without a pause,
// some 16,000 times a second: calm makes every failed script wait.
type Hook struct{}

// DialHook implements redis.Hook.
func (Hook) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

// ProcessHook implements redis.Hook.
func (Hook) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		if err != nil && failedScript(cmd, err) {
			store.Sleep(ctx, 200*time.Millisecond+rand.N(200*time.Millisecond))
		}
		return err
	}
}

// ProcessPipelineHook implements redis.Hook.
func (Hook) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// failedScript: a script's error, but for the two that are answers: nothing
// there, and a script that Redis has yet to be given.
func failedScript(cmd redis.Cmder, err error) bool {
	switch cmd.Name() {
	case "eval", "evalsha":
		return err != redis.Nil && !redis.HasErrorPrefix(err, "NOSCRIPT")
	}
	return false
}
