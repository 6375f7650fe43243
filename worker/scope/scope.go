// Package scope fences the keys of a job that a condition on columns names: category=books.
//
//	the job's query, with the condition ─► keys of its rows ───────┐
//	                                                               ├─► parts ─► fenced, several at once ─► enqueued
//	the keys that the cache has, if a key column is in it ─► gone ─┘
//
// Nothing is stored for it: the query tells which keys the condition means now. Rows that are gone are in no query;
// their keys are found among those that the cache has, by the key's own columns. What a column that is in no key held
// before, nobody knows any more: a row that has lost the value is not found by it.
package scope

import (
	"context"
	"slices"
	"time"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/cache"
	"github.com/stokerhq/stoker/worker/equal"
	"github.com/stokerhq/stoker/worker/render"
)

// Source finds keys by a condition; store/postgres does.
type Source interface {
	CheckWhere(ctx context.Context, job *jobs.Job, where jobs.Where) error
	Where(ctx context.Context, job *jobs.Job, where jobs.Where, fn func(*store.Reading) error) error
	Match(ctx context.Context, job *jobs.Job, where jobs.Where, candidates []jobs.Key) ([]jobs.Key, error)
}

// Config is what a Fencer needs. Every field is required.
type Config struct {
	Source Source
	Cache  *cache.Cache
	// Keys fences keys that are written as the cache has them.
	Keys func(ctx context.Context, job *jobs.Job, keys []jobs.Key) error
}

// Fencer fences the keys that a condition names. It is safe for concurrent use.
type Fencer struct {
	source Source
	cache  *cache.Cache
	keys   func(ctx context.Context, job *jobs.Job, keys []jobs.Key) error

	// Tests replace these to show that the guarantee does not hold without them.
	fence func(ctx context.Context, a *cache.Armed, s store.Stamp, keys [][]byte, grace time.Duration) ([][]byte,
		error)
	cached func(ctx context.Context, job *jobs.Job, fn func(key string) error) error
}

// New returns a Fencer.
func New(c Config) *Fencer {
	return &Fencer{source: c.Source, cache: c.Cache, keys: c.Keys, fence: c.Cache.Fence,
		cached: equal.Finder{Cache: c.Cache}.EachCached}
}

// Check reports what keeps the condition from being asked of the job, before anything is done.
func (f *Fencer) Check(ctx context.Context, job *jobs.Job, where jobs.Where) error {
	return f.source.CheckWhere(ctx, job, where)
}

// attempts is how often the rows are read again because the book was lost meanwhile.
const attempts = 5

// Fence fences the keys that the condition names, in parts of jobs.MaxKeys at most, and hands fenced each part that
// is, one at a time. A part may come twice. It is fenced with a snapshot taken in this call, so that a caller who has
// committed first is safe. A part that is begun is ended, also when ctx ends: a key is not fenced without being
// handed over.
func (f *Fencer) Fence(ctx context.Context, job *jobs.Job, where jobs.Where, fenced func([]jobs.Key) error) error {
	var known keySet
	if slices.ContainsFunc(job.Key.Columns(), func(c string) bool { return len(where[c]) > 0 }) {
		known = newKeySet(job)
	}
	for n := 1; ; n++ {
		armed, err := f.cache.Arm(ctx)
		if err != nil {
			return err
		}
		err = f.source.Where(ctx, job, where, func(r *store.Reading) error {
			stamp, err := f.cache.Stamp(ctx, armed, r.Snapshot)
			if err != nil {
				return err
			}
			return inParts(ctx, fenced, func(ctx context.Context, p part) error {
				_, err := f.fence(ctx, armed, stamp, p.names, job.StaleGrace)
				return err
			}, func(give func(part) error) error { return cut(job, r, known, give) })
		})
		if err == nil {
			break
		}
		if !cache.Again(err) || n == attempts || ctx.Err() != nil {
			return store.WithRemedy(err)
		}
		f.cache.Disarm(armed)
	}
	if known.texts == nil {
		return nil
	}
	return store.WithRemedy(inParts(ctx, fenced, func(ctx context.Context, p part) error {
		return f.keys(ctx, job, p.keys)
	}, func(give func(part) error) error { return f.gone(ctx, job, where, known, give) }))
}

// part is some keys on their way to the book: as a task names them, and as the cache does.
type part struct {
	keys  []jobs.Key
	names [][]byte
}

// cut gives the keys of a reading's rows in parts. Rows of one key that follow one another give it once.
func cut(job *jobs.Job, r *store.Reading, known keySet, give func(part) error) error {
	s, err := render.NewKeys(job, r)
	if err != nil {
		return err
	}
	columns := job.Key.Columns()
	var p part
	var last string
	for row, err := range r.Rows {
		if err != nil {
			return err
		}
		name, ok, err := s.Key(nil, row)
		if err != nil {
			err = s.SkipBad(err) // it has never been written
		}
		if err != nil {
			return err
		}
		if !ok || len(p.names) > 0 && string(name) == last {
			continue
		}
		key := make(jobs.Key, len(columns))
		for i, column := range columns {
			key[column] = string(row[len(columns)+i])
		}
		known.add(key)
		p.keys, p.names, last = append(p.keys, key), append(p.names, name), string(name)
		if len(p.keys) == jobs.MaxKeys {
			if err := give(p); err != nil {
				return err
			}
			p = part{}
		}
	}
	return giveRest(p, give)
}

func giveRest(p part, give func(part) error) error {
	if len(p.keys) == 0 {
		return nil
	}
	return give(p)
}

const (
	compared = 5000 // keys that Postgres compares in one statement
	ways     = 8    // in which the text of one key may be read
)

// gone gives the keys that the cache has, that the condition means as far as it is on key columns, and that the query
// did not return with it.
func (f *Fencer) gone(ctx context.Context, job *jobs.Job, where jobs.Where, known keySet,
	give func(part) error) error {
	var candidates []jobs.Key
	var p part
	compare := func() error {
		found, err := f.source.Match(ctx, job, where, candidates)
		if err != nil {
			return err
		}
		candidates = candidates[:0]
		for _, key := range found {
			if !known.add(key) {
				continue
			}
			if p.keys = append(p.keys, key); len(p.keys) == jobs.MaxKeys {
				if err := give(p); err != nil {
					return err
				}
				p = part{}
			}
		}
		return nil
	}
	err := f.cached(ctx, job, func(key string) error {
		candidates = append(candidates, job.Key.ParseAll(key, ways)...)
		if len(candidates) < compared {
			return nil
		}
		return compare()
	})
	if err == nil && len(candidates) > 0 {
		err = compare()
	}
	if err != nil {
		return err
	}
	return giveRest(p, give)
}
