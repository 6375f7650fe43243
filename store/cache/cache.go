package cache

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store/cache/info"
	"github.com/stokerhq/stoker/store/cache/layout"
	"github.com/stokerhq/stoker/store/cache/patience"
	"github.com/stokerhq/stoker/store/lookups"
)

// Cache is the Redis that API nodes read. It is safe for concurrent use.
type Cache struct {
	c        redis.UniversalClient
	names    layout.Names
	life     atomic.Int64  // ns: how long the fields of a book are kept; half of it is the deadline of an arm
	flagless atomic.Bool   // this Redis knows no flags of scripts
	seen     atomic.Uint32 // the highest epoch that this process has seen

	sight   sight
	info    *info.Reader
	lookups *lookups.Counter // nil: nobody counts them

	mu    sync.Mutex
	armed *Armed // for refreshes; nil: none
	until time.Time
}

// shortestLife keeps fences for a while also where no run takes long.
const shortestLife = 10 * time.Minute

// New returns the cache behind a client, which the caller closes, without a namespace. longest is
// how long a run or a refresh may take at most: what was armed is good for that long at least.
func New(c redis.UniversalClient, longest time.Duration) *Cache { return NewIn("", c, longest) }

// NewIn is New for what the cache has of a namespace.
func NewIn(n jobs.Namespace, c redis.UniversalClient, longest time.Duration) *Cache {
	_, cluster := c.(*redis.ClusterClient)
	cache := &Cache{c: c, info: info.NewReader(c), names: layout.Names{Namespace: n, Cluster: cluster}}
	c.AddHook(patience.Hook(cache.answers))
	cache.AllowLonger(longest)
	c.AddHook(dialHook{&cache.sight.dialed})
	return cache
}

// AllowLonger makes what is armed from now on good for runs that take so long. It never becomes less: what was armed
// before must not outlive its fences.
func (c *Cache) AllowLonger(longest time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.life.Store(int64(max(shortestLife, 4*longest, c.lifetime())))
	c.armed = nil
}

func (c *Cache) lifetime() time.Duration { return time.Duration(c.life.Load()) }

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
