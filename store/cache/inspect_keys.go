package cache

import (
	"context"
	"fmt"
	"sync"

	"github.com/redis/go-redis/v9"
)

// scanStep is how many keys one step of a scan looks at: a bigger one is what API
// nodes would feel.
const scanStep = 250

// Scan hands fn the keys that match a pattern of Redis', page by page, in Cluster
// of every master. One that is there all the time comes once or more often; one
// that comes or goes meanwhile may be left out. fn is called by one at a time.
func (c *Cache) Scan(ctx context.Context, pattern string, fn func(keys []string) error) error {
	var mu sync.Mutex
	page := func(keys []string) error {
		mu.Lock()
		defer mu.Unlock()
		return fn(keys)
	}
	if cluster, ok := c.c.(*redis.ClusterClient); ok {
		return cluster.ForEachMaster(ctx, func(ctx context.Context, node *redis.Client) error {
			return scan(ctx, node, pattern, page)
		})
	}
	return scan(ctx, c.c, pattern, page)
}

func scan(ctx context.Context, c redis.Cmdable, pattern string, fn func([]string) error) error {
	for cursor := uint64(0); ; {
		keys, next, err := c.Scan(ctx, cursor, pattern, scanStep).Result()
		if err != nil {
			return fmt.Errorf("look for keys like %s: %w", pattern, err)
		}
		if err := fn(keys); err != nil {
			return err
		}
		if cursor = next; cursor == 0 {
			return nil
		}
	}
}

// Chunk returns chunk n of a manifest. NoManifest recognizes an error that says it is
// gone.
func (c *Cache) Chunk(ctx context.Context, job string, m Manifest, n int) ([]byte, error) {
	b, err := c.c.Get(ctx, c.chunk(job, m, n)).Bytes()
	if err != nil {
		return nil, fmt.Errorf("read chunk %d of the manifest of %s: %w", n, job, err)
	}
	return b, nil
}
