package lookups

import (
	"context"
	"net"

	"github.com/redis/go-redis/v9"
)

// Hook counts the plain reads of a client; scripts count themselves.
func Hook(c *Counter) redis.Hook { return hook{counter: c} }

// HookAll counts the plain reads of a client of one server, and estimates what its scripts look up.
func HookAll(c *Counter, client *redis.Client) redis.Hook {
	return hook{counter: c, scripts: newSampler(client, c)}
}

type hook struct {
	counter *Counter
	scripts *sampler // nil: they count themselves
}

// DialHook implements redis.Hook.
func (h hook) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

// ProcessHook implements redis.Hook.
func (h hook) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if h.scripts != nil && isScript(cmd) {
			hits, misses, err := h.scripts.process(ctx, cmd, next)
			h.counter.Add(hits, misses)
			return err
		}
		err := next(ctx, cmd)
		h.counter.Add(ofAnswer(cmd, err))
		return err
	}
}

// ProcessPipelineHook implements redis.Hook.
func (h hook) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		err := next(ctx, cmds)
		var all Count
		for _, cmd := range cmds {
			hits, misses := ofAnswer(cmd, cmd.Err())
			if h.scripts != nil && isScript(cmd) && !h.scripts.measuring(ctx) {
				hits, misses = h.scripts.estimate(cmd)
			}
			all.Hits, all.Misses = all.Hits+hits, all.Misses+misses
		}
		h.counter.Add(all.Hits, all.Misses)
		return err
	}
}
