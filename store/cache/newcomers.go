package cache

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
)

// Newcomers are keys that refreshes have brought, or may bring, since the last
// complete run of their job. Its manifest does not have them; when their rows go
// and no fence tells of it (a TRUNCATE, a gap, commits that a failover lost), the
// next run knows from here that they must go. They are a set beside the book:
//
//	stoker:{cache}:new:<job>
//
// A fence adds the keys that it finds absent. A refresh adds the key that it brings
// if a run has begun since the key was fenced, because that run may have taken it
// off. A run takes a key off when its manifest has it, or as it removes it; it adds
// the one that it would remove if a newer change did not own it.

// newcomersLife is longer than a value lives that was written after the last fence.
func newcomersLife(job *jobs.Job) time.Duration { return 2*job.TTL + time.Hour }

// setsAtOnce is how many sets are asked for in one pipeline: in Cluster there is one
// a slot.
const setsAtOnce = 1024

// Newcomers returns a job's newcomers, each with false.
func (c *Cache) Newcomers(ctx context.Context, job string) (map[string]bool, error) {
	all := make(map[string]bool)
	if !c.books.cluster {
		members := c.c.SScan(ctx, c.books.newcomers(0, job), 0, "", 1000).Iterator()
		for members.Next(ctx) {
			all[members.Val()] = false
		}
		if err := members.Err(); err != nil {
			return nil, fmt.Errorf("read the newcomers of %s: %w", job, err)
		}
		return all, nil
	}
	for from := 0; from < c.books.count(); from += setsAtOnce {
		var sets []*redis.StringSliceCmd
		_, err := c.c.Pipelined(ctx, func(p redis.Pipeliner) error {
			for n := range setsAtOnce {
				sets = append(sets, p.SMembers(ctx, c.books.newcomers(from+n, job)))
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("read the newcomers of %s: %w", job, err)
		}
		for _, s := range sets {
			for _, key := range s.Val() {
				all[key] = false
			}
		}
	}
	return all, nil
}

// PutNewcomers is Put for newcomers that have no row: those that it removes are
// newcomers no more. One that is Old stays one.
func (c *Cache) PutNewcomers(ctx context.Context, cl *Claim, b *store.Batch) (Outcome, error) {
	return c.putAll(ctx, cl, b, everything(b))
}

// Settle says that the manifest of a run, which is kept, has these keys: they are
// newcomers no more. In Cluster no book knows which run was last: two runs of a job
// at once could hide a newcomer there.
func (c *Cache) Settle(ctx context.Context, cl *Claim, keys [][]byte) error {
	of := make(map[int][]any) // :: book -> its keys
	for _, key := range keys {
		of[c.books.of(key)] = append(of[c.books.of(key)], key)
	}
	var calls []call
	for book, list := range of {
		for part := range slices.Chunk(list, scriptKeys) {
			calls = append(calls, call{[]string{c.books.key(book), c.books.newcomers(book, cl.job)}, append([]any{writerField(cl.job), cl.id}, part...)})
		}
	}
	for some := range slices.Chunk(calls, setsAtOnce) {
		if _, err := c.run(ctx, settleScript, some...); err != nil {
			return fmt.Errorf("settle the newcomers of %s: %w", cl.job, explain(err))
		}
	}
	return nil
}
