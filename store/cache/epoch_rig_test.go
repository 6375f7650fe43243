package cache_test

import (
	"context"
	"errors"
	"net"

	"github.com/redis/go-redis/v9"

	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/cache"
)

// stamped arms anew and stamps a snapshot.
func stamped(r *rig, c *cache.Cache, clock uint64, origin string) (*cache.Armed, store.Stamp, error) {
	r.Helper()
	a, err := c.Renew(r.Context())
	if err != nil {
		r.Fatal(err)
	}
	s, err := c.Stamp(r.Context(), a, store.Snapshot{Clock: clock, Origin: origin})
	return a, s, err
}

// mustStamp is stamped where no new epoch begins.
func mustStamp(r *rig, c *cache.Cache, clock uint64, origin string) (*cache.Armed, store.Stamp) {
	r.Helper()
	a, s, err := stamped(r, c, clock, origin)
	if err != nil {
		r.Fatal(err)
	}
	return a, s
}

// mustClaim claims a run with a stamp.
func mustClaim(r *rig, c *cache.Cache, a *cache.Armed, s store.Stamp) *cache.Claim {
	r.Helper()
	cl, err := c.ClaimRun(r.Context(), a, product, s, cache.NewID())
	if err != nil {
		r.Fatal(err)
	}
	r.Cleanup(cl.Close)
	return cl
}

func (r *rig) epoch() uint32 {
	r.Helper()
	n, _, err := r.other.Epoch(r.Context())
	if err != nil {
		r.Error(err)
	}
	return n
}

// before is a hook of a client that is called before a command, and may refuse it.
type before func(redis.Cmder) error

func (b before) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if err := b(cmd); err != nil {
			cmd.SetErr(err)
			return err
		}
		return next(ctx, cmd)
	}
}

func (b before) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		for _, cmd := range cmds {
			if err := b(cmd); err != nil {
				for _, c := range cmds {
					c.SetErr(err)
				}
				return err
			}
		}
		return next(ctx, cmds)
	}
}

func (before) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

var errDied = errors.New("died")

// mortal is a client that gets no further than a number of commands.
func (r *rig) mortal(commands int) *redis.Client {
	c := r.another()
	c.AddHook(before(func(redis.Cmder) error {
		if commands--; commands < 0 {
			return errDied
		}
		return nil
	}))
	return c
}

// another is one more client.
func (r *rig) another() *redis.Client {
	o := r.client.Options()
	c := redis.NewClient(&redis.Options{Addr: o.Addr, DB: o.DB})
	r.Cleanup(func() { c.Close() })
	return c
}
