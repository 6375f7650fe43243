package cache

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
)

// Untracked are keys that refreshes have brought since the last complete run of
// their job. Its manifest does not have them; when their rows go and no fence reports
// of it (a TRUNCATE, a gap, commits that a failover lost), the next run knows from
// here that they must go. They are kept beside the book:
//
//	stoker:{cache}:new:<job>       set
//	stoker:{cache}:new:<job>:<id>  list   the journal of a run
//
// What is in the cache is in the manifest, or here. A refresh adds the key that it
// brings; one that it finds there is known already. Who removes a key takes it off.
// A run takes off what its manifest has, and adds what it would remove if a newer
// change did not own it.
//
// So are the keys of a run that did not complete. A run writes down which it is
// about to bring, before it does: its journal, whose id, after a #, is in the set
// until a run completes.

// untrackedLife is longer than the values live that they tell of.
func untrackedLife(job *jobs.Job) time.Duration { return 2*job.TTL + time.Hour }

// setsAtOnce is how many sets are asked for in one pipeline: in Cluster there is one
// a slot.
const setsAtOnce = 1024

// Untracked is what is known of a job's keys that no manifest has.
type Untracked struct {
	Keys     map[string]bool // :: key -> false
	Journals []string        // ids of runs that did not complete
}

func (n *Untracked) add(member string) {
	if id, is := strings.CutPrefix(member, "#"); is { // no key begins so
		n.Journals = append(n.Journals, id)
		return
	}
	n.Keys[member] = false
}

// Untracked returns what is known of a job's untracked keys.
func (c *Cache) Untracked(ctx context.Context, job string) (Untracked, error) {
	all := Untracked{Keys: make(map[string]bool)}
	if !c.names.Cluster {
		members := c.c.SScan(ctx, c.names.Untracked(0, job), 0, "", 1000).Iterator()
		for members.Next(ctx) {
			all.add(members.Val())
		}
		if err := members.Err(); err != nil {
			return all, fmt.Errorf("read the untracked keys of %s: %w", job, err)
		}
		return all, nil
	}
	for from := 0; from < c.names.Books(); from += setsAtOnce {
		var sets []*redis.StringSliceCmd
		_, err := c.c.Pipelined(ctx, func(p redis.Pipeliner) error {
			for n := range setsAtOnce {
				sets = append(sets, p.SMembers(ctx, c.names.Untracked(from+n, job)))
			}
			return nil
		})
		if err != nil {
			return all, fmt.Errorf("read the untracked keys of %s: %w", job, err)
		}
		for _, s := range sets {
			for _, key := range s.Val() {
				all.add(key)
			}
		}
	}
	return all, nil
}

// PutUntracked is Put for untracked keys that have no row: those that it removes are
// no longer untracked. One that is Old stays so.
func (c *Cache) PutUntracked(ctx context.Context, cl *Claim, b *store.Batch) (Outcome, error) {
	return c.putAll(ctx, cl, b, everything(b))
}

// ForgetUntracked says that the manifest of a run, which is kept, has these keys: they are
// no longer untracked. In Cluster no book knows which run was last: two runs of a job
// at once could hide an untracked key there.
func (c *Cache) ForgetUntracked(ctx context.Context, cl *Claim, keys [][]byte) error {
	of := make(map[int][]any) // :: book -> its keys
	for _, key := range keys {
		of[c.names.BookOf(key)] = append(of[c.names.BookOf(key)], key)
	}
	var calls []call
	for book, list := range of {
		for part := range slices.Chunk(list, scriptKeys) {
			calls = append(calls, call{[]string{c.names.Book(book), c.names.Untracked(book, cl.job)},
				append([]any{writerField(cl.job), cl.id}, part...)})
		}
	}
	for some := range slices.Chunk(calls, setsAtOnce) {
		if _, err := c.run(ctx, settleScript, some...); err != nil {
			return fmt.Errorf("forget the untracked keys of %s: %w", cl.job, store.WithRemedy(err))
		}
	}
	return nil
}

// BeginJournal begins a run's journal with a chunk of keys, as package manifest has
// them, that the run is about to bring. What the Journal of a batch holds is added
// as the batch is put.
func (c *Cache) BeginJournal(ctx context.Context, cl *Claim, job *jobs.Job, chunk []byte) error {
	set, life := c.names.Untracked(0, job.Name), untrackedLife(job)
	_, err := c.c.Pipelined(ctx, func(p redis.Pipeliner) error {
		p.SAdd(ctx, set, "#"+cl.id)
		p.PExpire(ctx, set, life)
		p.RPush(ctx, cl.journal, chunk)
		p.PExpire(ctx, cl.journal, life)
		return nil
	})
	if err != nil {
		return fmt.Errorf("begin the journal of a run of %s: %w", job.Name, store.WithRemedy(err))
	}
	return nil
}

// journal writes down what a batch brings, where that does not go with it.
func (c *Cache) journal(ctx context.Context, cl *Claim, b *store.Batch) error {
	if len(b.Journal) == 0 {
		return nil
	}
	if err := c.c.RPush(ctx, cl.journal, b.Journal).Err(); err != nil {
		return fmt.Errorf("write down what a run of %s brings: %w", cl.job, store.WithRemedy(err))
	}
	return nil
}

// journalStep is how many chunks of a journal are read at once.
const journalStep = 64

// Journaled yields the chunks of a journal in order.
func (c *Cache) Journaled(ctx context.Context, job, id string) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for from := int64(0); ; from += journalStep {
			chunks, err := c.c.LRange(ctx, c.names.Journal(job, id), from, from+journalStep-1).Result()
			if err != nil {
				yield(nil, fmt.Errorf("read what a run of %s has brought: %w", job, err))
				return
			}
			for _, chunk := range chunks {
				if !yield([]byte(chunk), nil) {
					return
				}
			}
			if len(chunks) < journalStep {
				return
			}
		}
	}
}

// DropJournals forgets journals of runs, once a manifest has what they tell of, or it
// is removed.
func (c *Cache) DropJournals(ctx context.Context, job string, ids []string) error {
	if len(ids) == 0 {
		return nil
	}
	_, err := c.c.Pipelined(ctx, func(p redis.Pipeliner) error {
		for _, id := range ids {
			p.Unlink(ctx, c.names.Journal(job, id))
			p.SRem(ctx, c.names.Untracked(0, job), "#"+id)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("forget what runs of %s have brought: %w", job, err)
	}
	return nil
}
