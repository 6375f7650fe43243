package cache

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stokerhq/stoker/store"
)

// Cache is the Redis that API nodes read. It is safe for concurrent use.
type Cache struct {
	c redis.UniversalClient
}

// New returns the cache behind a client, which the caller closes.
func New(c redis.UniversalClient) *Cache { return &Cache{c} }

// Armed is the right to write values of snapshots taken after it.
type Armed struct {
	At time.Time // by Redis' own clock
}

// Arm comes before the snapshot of a run or a refresh: it proves that Redis
// answers before the database is asked to work for it.
func (c *Cache) Arm(ctx context.Context) (Armed, error) {
	at, err := c.c.Time(ctx).Result()
	if err != nil {
		return Armed{}, fmt.Errorf("arm the cache: %w", err)
	}
	return Armed{At: at}, nil
}

// Put writes a batch: SET with TTL, in one pipeline. On an error some entries
// may have been written and others not; none is torn, and writing again is safe.
func (c *Cache) Put(ctx context.Context, _ Armed, b *store.Batch) error {
	if b.Len() == 0 {
		return nil
	}
	pipe := c.c.Pipeline()
	for i := range b.Len() {
		e := b.Entry(i)
		ms := max(e.TTL.Milliseconds(), 1)
		if err := pipe.Process(ctx, redis.NewStatusCmd(ctx, "set", e.Key, e.Value, "px", ms)); err != nil {
			return fmt.Errorf("queue key %s: %w", e.Key, err)
		}
	}
	cmds, err := pipe.Exec(ctx)
	if err != nil {
		return writeError(b, cmds, err)
	}
	return nil
}

// writeError names the first key that was refused and what to do about it.
func writeError(b *store.Batch, cmds []redis.Cmder, err error) error {
	for i, cmd := range cmds {
		if cmd.Err() == nil || i >= b.Len() {
			continue
		}
		err = fmt.Errorf("write key %s: %w", b.Entry(i).Key, cmd.Err())
		break
	}
	if redis.IsOOMError(err) {
		return fmt.Errorf("%w (redis is full: raise maxmemory, or choose an eviction policy for the cache)", err)
	}
	return err
}

// Remove drops keys and returns how many were there.
func (c *Cache) Remove(ctx context.Context, _ Armed, keys [][]byte) (int64, error) {
	if len(keys) == 0 {
		return 0, nil
	}
	pipe := c.c.Pipeline()
	cmds := make([]*redis.IntCmd, len(keys))
	for i, k := range keys {
		cmds[i] = pipe.Unlink(ctx, string(k))
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return 0, fmt.Errorf("remove %d keys: %w", len(keys), err)
	}
	var n int64
	for _, cmd := range cmds {
		n += cmd.Val()
	}
	return n, nil
}

// Present returns how many of the keys are in Redis right now.
func (c *Cache) Present(ctx context.Context, keys []string) (int, error) {
	if len(keys) == 0 {
		return 0, nil
	}
	pipe := c.c.Pipeline()
	for _, k := range keys {
		pipe.Exists(ctx, k)
	}
	cmds, err := pipe.Exec(ctx)
	if err != nil && !errors.Is(err, redis.Nil) {
		return 0, fmt.Errorf("look for %d keys: %w", len(keys), err)
	}
	n := 0
	for _, cmd := range cmds {
		n += int(cmd.(*redis.IntCmd).Val())
	}
	return n, nil
}
