// Package equal finds the keys that the cache has of a job and that are equal to given ones, by the equality of
// their columns.
//
// Of some types, values are equal that have several texts: Ann and ann of a citext, 1.5 and 1.50 of a numeric.
// Who names a key by hand need not know how the row is written that made it, and that row may be gone: then only
// the cache knows. So the keys that it has of the job are compared with the given ones, by Postgres. For all
// other types this costs nothing. A change of a row tells how its key was written, before and after: nothing is
// looked for then.
package equal

import (
	"context"
	"fmt"
	"time"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store/cache"
	"github.com/stokerhq/stoker/store/manifest"
)

// Source compares keys; store/postgres does.
type Source interface {
	Inexact(ctx context.Context, job *jobs.Job) (bool, error)
	Equal(ctx context.Context, job *jobs.Job, given, candidates []jobs.Key) (equal []jobs.Key, unreadable int,
		err error)
}

// Holder knows whether a run is going on; store/ledger does.
type Holder interface {
	Holder(ctx context.Context, job string) (holder string, left time.Duration, err error)
}

// Finder finds equal keys. Every field is required.
type Finder struct {
	Source Source
	Cache  *cache.Cache
	Runs   Holder
}

// Found is what was found.
type Found struct {
	Keys []jobs.Key // that the cache may have, are equal to given ones and written otherwise

	inexact    bool // keys were looked for
	unreadable int  // keys of the job in the cache that could not be compared
	running    bool // a run is going on that may bring more
}

const (
	batchSize = 5000 // keys that Postgres compares in one statement
	ways      = 8    // in which the text of one key may be read
)

// Find finds the keys of the job in the cache that are equal to given ones and are written otherwise.
func (f Finder) Find(ctx context.Context, job *jobs.Job, given []jobs.Key) (out Found, err error) {
	if out.inexact, err = f.Source.Inexact(ctx, job); err != nil || !out.inexact {
		return out, err
	}
	holder, _, err := f.Runs.Holder(ctx, job.Name)
	if err != nil {
		return out, err
	}
	out.running = holder != ""
	known := make(map[string]bool)
	for _, key := range given {
		known[key.Text(job)] = true
	}
	var batch []jobs.Key
	compare := func() error {
		equal, unreadable, err := f.Source.Equal(ctx, job, given, batch)
		for _, key := range equal {
			if text := key.Text(job); !known[text] {
				known[text] = true
				out.Keys = append(out.Keys, key)
			}
		}
		out.unreadable += unreadable
		batch = batch[:0]
		return err
	}
	err = f.EachCached(ctx, job, func(key string) error {
		batch = append(batch, job.Key.ParseAll(key, ways)...)
		if len(batch) < batchSize {
			return nil
		}
		return compare()
	})
	if err == nil && len(batch) > 0 {
		err = compare()
	}
	return out, err
}

// Warning says why a key may be in the cache all the same, where none was found for some that were asked for; "":
// it cannot be.
func (f Found) Warning(job *jobs.Job) string {
	switch {
	case !f.inexact:
	case f.unreadable > 0:
		return fmt.Sprintf("not every key was found, and %d keys in the cache could not be compared with those "+
			"that were named: name the keys as they are written, or run: stoker warm %s", f.unreadable, job.Name)
	case f.running:
		return "not every key was found, and a run of the job is going on that may bring one that is equal: " +
			"invalidate again when it has ended"
	}
	return ""
}

// EachCached calls fn with every key of the job that the cache may have, some twice: those of the last complete
// run and what came since; where that run is not known, all keys that look like the job's.
func (f Finder) EachCached(ctx context.Context, job *jobs.Job, fn func(key string) error) error {
	// First what no manifest has: what a run brings that completes meanwhile is in its manifest.
	untracked, err := f.Cache.Untracked(ctx, job.Name)
	if err != nil {
		return err
	}
	for _, id := range untracked.Journals {
		if err := eachKey(f.Cache.Journaled(ctx, job.Name, id), fn); err != nil {
			return err
		}
	}
	for key := range untracked.Keys {
		if err := fn(key); err != nil {
			return err
		}
	}
	m, ok, err := f.Cache.Manifest(ctx, job.Name)
	if err != nil {
		return err
	}
	if ok && m.Key == job.Key.String() {
		err = eachKey(f.Cache.Chunks(ctx, job.Name, m), fn)
	}
	if ok && !cache.NoManifest(err) {
		return err
	}
	return f.Cache.Scan(ctx, job.Key.Pattern(), func(keys []string) error {
		for _, key := range keys {
			if err := fn(key); err != nil {
				return err
			}
		}
		return nil
	})
}

func eachKey(chunks manifest.Chunks, fn func(key string) error) error {
	for e, err := range manifest.Read(chunks) {
		if err == nil {
			err = fn(string(e.Key))
		}
		if err != nil {
			return err
		}
	}
	return nil
}
