package cache

import (
	"context"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/cache/layout"
)

// probeTTL is that of a key that is never written.
const probeTTL = time.Second

// Probe reports why a Redis takes no writes of a namespace now, or does not answer. It sends a write that does nothing:
// SET XX of a key that does not exist is refused for every reason for which a real one is, and neither changes the data
// nor reaches a replica. Of a cluster every master is asked.
func Probe(ctx context.Context, c redis.UniversalClient, n jobs.Namespace) error {
	var err error
	if cluster, ok := c.(*redis.ClusterClient); ok {
		err = probeCluster(ctx, cluster, n)
	} else {
		err = probe(ctx, c, layout.Names{Namespace: n}.Probe(0))
	}
	if err != nil {
		return fmt.Errorf("write to redis: %w", store.WithRemedy(err))
	}
	return nil
}

func probe(ctx context.Context, c redis.Cmdable, key string) error {
	err := c.SetArgs(ctx, key, "1", redis.SetArgs{Mode: "XX", TTL: probeTTL}).Err()
	if err == redis.Nil { // not in a chain: a Sentinel that does not know the name of the master answers it, too
		return nil
	}
	return err
}

// probeCluster asks each master by a key of its first slot.
func probeCluster(ctx context.Context, c *redis.ClusterClient, n jobs.Namespace) error {
	//lint:ignore SA1019 Redis 6.2 has no CLUSTER SHARDS
	ranges, err := c.ClusterSlots(ctx).Result()
	if err != nil {
		return err
	}
	asked, names := make(map[string]bool), layout.Names{Namespace: n, Cluster: true}
	for _, r := range ranges {
		if len(r.Nodes) == 0 || asked[r.Nodes[0].Addr] || r.Start < 0 || r.Start >= layout.Slots {
			continue
		}
		asked[r.Nodes[0].Addr] = true
		if err := probe(ctx, c, names.Probe(r.Start)); err != nil {
			return fmt.Errorf("the node %s: %w", r.Nodes[0].Addr, err)
		}
	}
	return nil
}

// answers is for who waits until the cache answers: any answer will do.
func (c *Cache) answers(ctx context.Context) error { return Probe(ctx, c.c, "") }

// Probe reports why the cache takes no writes now.
func (c *Cache) Probe(ctx context.Context) error { return Probe(ctx, c.c, c.names.Namespace) }
