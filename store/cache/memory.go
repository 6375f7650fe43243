package cache

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"
)

// Memory is what the cache's Redis says of its memory, over all masters of a Cluster.
type Memory struct {
	Used    int64 // bytes
	Max     int64 // bytes; 0: no limit
	Evicted int64 // keys evicted since the servers began
}

// ErrNoInfo: the server does not answer INFO, or not to this user.
var ErrNoInfo = errors.New("redis does not answer INFO: allow the command to see its memory and evictions")

// Memory reads the memory and the evictions of the cache.
func (c *Cache) Memory(ctx context.Context) (Memory, error) {
	cluster, ok := c.c.(*redis.ClusterClient)
	if !ok {
		return readMemory(ctx, c.c)
	}
	var mu sync.Mutex
	var sum Memory
	err := cluster.ForEachMaster(ctx, func(ctx context.Context, node *redis.Client) error {
		m, err := readMemory(ctx, node)
		mu.Lock()
		defer mu.Unlock()
		sum.Used, sum.Max, sum.Evicted = sum.Used+m.Used, sum.Max+m.Max, sum.Evicted+m.Evicted
		return err
	})
	return sum, err
}

func readMemory(ctx context.Context, c redis.UniversalClient) (m Memory, err error) {
	fields := map[string]*int64{"used_memory": &m.Used, "maxmemory": &m.Max, "evicted_keys": &m.Evicted}
	found := 0
	for _, section := range []string{"memory", "stats"} { // servers before 7.0 take one section at a time
		text, err := c.Info(ctx, section).Result()
		if _, refused := errors.AsType[redis.Error](err); refused {
			return m, fmt.Errorf("%w: %w", ErrNoInfo, err)
		}
		if err != nil {
			return m, fmt.Errorf("ask redis for its %s section: %w", section, err)
		}
		for line := range strings.Lines(text) {
			name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
			field, is := fields[name]
			if !is {
				continue
			}
			if *field, err = strconv.ParseInt(value, 10, 64); err != nil {
				return m, fmt.Errorf("read %s of redis: %w", name, err)
			}
			found++
		}
	}
	if found < len(fields) {
		return m, ErrNoInfo
	}
	return m, nil
}
