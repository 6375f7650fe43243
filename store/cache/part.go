package cache

import (
	"context"
	"fmt"
	"time"

	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/internal/redisjson"
)

// A run that is stopped half way leaves its manifest as far as it came: the chunks, and beside them
//
//	stoker:manifest:<job>:<id>:part  string  the Manifest as JSON, with the chunks whose values are all written
//
// Its digests say what Redis holds as those of a complete run do, and under the same conditions: see Claim.Trust.

func (c *Cache) part(job, id string) string { return c.names.Manifest(job, id+":part") }

// KeepPart keeps how far a manifest that is being made is of values that are written. In Cluster no digest is trusted.
func (c *Cache) KeepPart(ctx context.Context, job string, m Manifest, ttl time.Duration) error {
	if c.names.Cluster {
		return nil
	}
	return store.WithRemedy(redisjson.Set(ctx, c.c, c.part(job, m.ID), m, ttl))
}

// Part returns what the run before that of a claim has left of its manifest, if it was stopped half way.
func (c *Cache) Part(ctx context.Context, cl *Claim, job string) (Manifest, bool, error) {
	if cl.before == "" {
		return Manifest{}, false, nil
	}
	return redisjson.Get[Manifest](ctx, c.c, c.part(job, cl.before))
}

// dropPart forgets that a manifest is a part; its chunks stay.
func (c *Cache) dropPart(ctx context.Context, job string, m Manifest) error {
	if err := c.c.Unlink(ctx, c.part(job, m.ID)).Err(); err != nil {
		return fmt.Errorf("drop a part of the manifest of %s: %w", job, err)
	}
	return nil
}

// beyond is how many chunks a run that was killed may have kept beyond its part: one that was on its way, and one that
// began.
const beyond = 2

// DropPart removes a part, and its chunks.
func (c *Cache) DropPart(ctx context.Context, job string, m Manifest) error {
	if m.ID == "" {
		return nil
	}
	m.Chunks += beyond
	return c.DropChunks(ctx, job, m)
}
