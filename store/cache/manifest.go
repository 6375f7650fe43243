package cache

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/internal/redisjson"
)

// Manifest is what is known of the last complete run of a job. Its chunks are
// beside it:
//
//	stoker:manifest:<job>:head      string  the Manifest as JSON
//	stoker:manifest:<job>:<id>:<n>  string  chunk n
type Manifest struct {
	ID     string      `json:"id"`
	Job    string      `json:"job"`   // what the job was like: another query or format makes other values
	Stamp  store.Stamp `json:"stamp"` // of the run's snapshot
	Nonce  string      `json:"nonce"` // of the book it wrote under
	Armed  int64       `json:"armed"` // ms, by Redis' own clock
	Full   int64       `json:"full"`  // ms: when every key had its whole TTL last
	Chunks int         `json:"chunks"`
	Keys   int64       `json:"keys"`           // in the result
	Held   int64       `json:"held,omitempty"` // no longer in the result, and kept: see jobs.Job.ShrinkGuard
	Rows   int64       `json:"rows"`
	Key    string      `json:"key"`              // the template
	Place  string      `json:"place"`            // store.Snapshot.Place
	Took   int64       `json:"took"`             // ms, of the run
	HeldAt int64       `json:"held_at,omitzero"` // ms, by Redis' own clock: since when keys are held
	Bytes  int64       `json:"bytes"`            // of the keys and values in the result

	// What the run said of rows without an entry, for a run that finds it unchanged.
	NullKeys   int64  `json:"null_keys,omitempty"`
	BadKeys    int64  `json:"bad_keys,omitempty"`
	Oversized  int64  `json:"oversized,omitempty"`
	Duplicates int64  `json:"duplicate_keys,omitempty"`
	Warning    string `json:"warning,omitempty"`

	// Returned are keys that came back after other keys: the run has removed them.
	Returned []string `json:"returned_keys,omitempty"`
}

// NewManifest begins the manifest of a run that was claimed.
func (cl *Claim) NewManifest() Manifest {
	return Manifest{ID: cl.id, Stamp: cl.Stamp, Nonce: cl.armed.nonces[0], Armed: cl.armed.At.UnixMilli(),
		Full: cl.began}
}

// Trust reports whether Redis is as the run of m has left it, but for keys that
// have gone or have a field in the book: the same book, no other run of the job
// that has written since, and no field of that time that was pruned. Only then
// does a digest of m say what Redis holds, and only then may entries be kept.
func (cl *Claim) Trust(m Manifest) bool {
	cl.since = fmt.Sprintf("%013d", m.Armed)
	if cl.id == "" {
		cl.id = m.ID
	}
	return len(cl.armed.nonces) == 1 && m.Nonce == cl.armed.nonces[0] && cl.before == m.ID && cl.pruned < cl.since
}

func (c *Cache) chunk(job string, m Manifest, n int) string {
	return c.names.Manifest(job, m.ID+":"+strconv.Itoa(n))
}

// Manifest returns the manifest of the last complete run of job, if there is one.
func (c *Cache) Manifest(ctx context.Context, job string) (Manifest, bool, error) {
	return redisjson.Get[Manifest](ctx, c.c, c.names.Manifest(job, "head"))
}

// Chunks yields the chunks of a manifest in order.
func (c *Cache) Chunks(ctx context.Context, job string, m Manifest) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for n := range m.Chunks {
			if b, err := c.Chunk(ctx, job, m, n); !yield(b, err) || err != nil {
				return
			}
		}
	}
}

// NoManifest reports whether err says that a part of the manifest is gone.
func NoManifest(err error) bool { return errors.Is(err, redis.Nil) }

// KeepChunk keeps the next chunk of a manifest that is being made. It lives as
// long as the values it lists.
func (c *Cache) KeepChunk(ctx context.Context, job string, m *Manifest, chunk []byte, ttl time.Duration) error {
	if err := c.c.Set(ctx, c.chunk(job, *m, m.Chunks), chunk, ttl).Err(); err != nil {
		return fmt.Errorf("keep chunk %d of the manifest of %s: %w", m.Chunks, job, store.WithRemedy(err))
	}
	m.Chunks++
	return nil
}

// KeepManifest puts a whole manifest in the place of the one before, which may be
// the same, to live longer. ErrSuperseded says that another run has claimed the
// job since: its manifest will tell more.
func (c *Cache) KeepManifest(ctx context.Context, cl *Claim, job string, m, before Manifest, ttl time.Duration) error {
	if err := c.keepHead(ctx, cl, job, m, ttl); err != nil {
		return err
	}
	if m.ID != before.ID {
		if err := c.dropPart(ctx, job, m); err != nil {
			return err
		}
		return c.DropChunks(ctx, job, before)
	}
	return c.eachChunk(ctx, job, m, 0, "prolong", func(p redis.Pipeliner, key string) { p.PExpire(ctx, key, ttl) })
}

func (c *Cache) keepHead(ctx context.Context, cl *Claim, job string, m Manifest, ttl time.Duration) error {
	if c.names.Cluster { // the book of the head's slot knows nothing of the run
		return store.WithRemedy(redisjson.Set(ctx, c.c, c.names.Manifest(job, "head"), m, ttl))
	}
	b, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("encode the manifest of %s: %w", job, err)
	}
	cmds, err := c.run(ctx, keepScript, call{[]string{c.names.Book(0), c.names.Manifest(job, "head")},
		[]any{cl.armed.nonces[0], writerField(job), cl.id, b, max(ttl.Milliseconds(), 1)}})
	if err != nil {
		return fmt.Errorf("keep the manifest of %s: %w", job, store.WithRemedy(err))
	}
	return refusal(cmds[0].Val())
}

// DropManifest removes a job's manifest and its chunks.
func (c *Cache) DropManifest(ctx context.Context, job string, m Manifest) error {
	if err := c.c.Unlink(ctx, c.names.Manifest(job, "head")).Err(); err != nil {
		return fmt.Errorf("drop the manifest of %s: %w", job, err)
	}
	return c.DropChunks(ctx, job, m)
}

// DropChunks removes the chunks of a manifest, and what says that it is a part.
func (c *Cache) DropChunks(ctx context.Context, job string, m Manifest) error {
	if err := c.DropRest(ctx, job, m, 0); err != nil || m.ID == "" {
		return err
	}
	return c.dropPart(ctx, job, m)
}

// DropRest removes the chunks of a manifest from one on.
func (c *Cache) DropRest(ctx context.Context, job string, m Manifest, from int) error {
	return c.eachChunk(ctx, job, m, from, "drop", func(p redis.Pipeliner, key string) { p.Unlink(ctx, key) })
}

func (c *Cache) eachChunk(ctx context.Context, job string, m Manifest, from int, verb string,
	do func(redis.Pipeliner, string)) error {
	if m.Chunks <= from {
		return nil
	}
	_, err := c.c.Pipelined(ctx, func(p redis.Pipeliner) error {
		for n := from; n < m.Chunks; n++ {
			do(p, c.chunk(job, m, n))
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("%s the chunks of the manifest of %s: %w", verb, job, err)
	}
	return nil
}
