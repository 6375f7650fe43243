package worker

import (
	"context"
	"fmt"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store/cache"
	"github.com/stokerhq/stoker/store/manifest"
)

// Of some types, values are equal that have several texts: Ann and ann of a citext, 1.5 and 1.50 of a
// numeric. Who names a key by hand need not know how the row is written that made it, and that row may be
// gone: then only the cache knows. So the keys that the cache has of the job are compared with the given ones,
// by Postgres. For all other types this costs nothing. A change of a row tells how its key was written, before
// and after: it is not looked for.

// equalKeys are keys that the cache may have and that are equal to given ones.
type equalKeys struct {
	keys       []jobs.Key
	unreadable int  // keys of the job in the cache that could not be compared
	running    bool // a run is going on that may bring more
	inexact    bool // keys were looked for
	done       bool
}

const (
	equalBatch = 5000 // keys that Postgres compares in one statement
	equalWays  = 8    // in which the text of one key may be read
)

// findEqual finds the keys of the job in the cache that are equal to given ones, by their columns' own equality,
// and are written otherwise.
func (w *Worker) findEqual(ctx context.Context, job *jobs.Job, given []jobs.Key) (out equalKeys, err error) {
	if out.inexact, err = w.source.Inexact(ctx, job); err != nil || !out.inexact {
		return out, err
	}
	holder, _, err := w.ledger.Holder(ctx, job.Name)
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
		equal, unreadable, err := w.source.Equal(ctx, job, given, batch)
		for _, key := range equal {
			if text := key.Text(job); !known[text] {
				known[text] = true
				out.keys = append(out.keys, key)
			}
		}
		out.unreadable += unreadable
		batch = batch[:0]
		return err
	}
	err = w.eachCached(ctx, job, func(key string) error {
		batch = append(batch, job.Key.ParseAll(key, equalWays)...)
		if len(batch) < equalBatch {
			return nil
		}
		return compare()
	})
	if err == nil && len(batch) > 0 {
		err = compare()
	}
	return out, err
}

// EqualKeys returns the keys of the job in the cache that are equal to given ones, by their columns' own equality,
// and are written otherwise.
func (w *Worker) EqualKeys(ctx context.Context, job *jobs.Job, given []jobs.Key) ([]jobs.Key, error) {
	equal, err := w.findEqual(ctx, job, given)
	return equal.keys, err
}

// eachCached calls fn with every key of the job that the cache may have, some twice: those of the last complete
// run and what came since; where that run is not known, all keys that look like the job's.
func (w *Worker) eachCached(ctx context.Context, job *jobs.Job, fn func(key string) error) error {
	// First what no manifest has: what a run brings that completes meanwhile is in its manifest.
	untracked, err := w.calls.untracked(ctx, job.Name)
	if err != nil {
		return err
	}
	for _, id := range untracked.Journals {
		if err := eachKey(w.cache.Journaled(ctx, job.Name, id), fn); err != nil {
			return err
		}
	}
	for key := range untracked.Keys {
		if err := fn(key); err != nil {
			return err
		}
	}
	m, ok, err := w.calls.manifest(ctx, job.Name)
	if err != nil {
		return err
	}
	if ok && m.Key == job.Key.String() {
		err = eachKey(w.cache.Chunks(ctx, job.Name, m), fn)
	}
	if ok && !cache.NoManifest(err) {
		return err
	}
	return w.cache.Scan(ctx, job.Key.Pattern(), func(keys []string) error {
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

// withEqual adds to the keys of an invalidation those that the cache has and that are equal to them. It looks for
// them once.
func (w *Worker) withEqual(ctx context.Context, job *jobs.Job, keys []jobs.Key, equal *equalKeys) ([]jobs.Key,
	error) {
	if !equal.done {
		found, err := w.findEqual(ctx, job, keys)
		if err != nil {
			return nil, err
		}
		*equal, equal.done = found, true
	}
	return append(keys[:len(keys):len(keys)], equal.keys...), nil
}

// warning says why a key that was asked for may be in the cache all the same, though none was found for it.
func (e equalKeys) warning(job *jobs.Job, asked int, out Refreshed) string {
	switch {
	case !e.inexact || out.Keys+out.Removed >= int64(asked):
	case e.unreadable > 0:
		return fmt.Sprintf("not every key was found, and %d keys in the cache could not be compared with those "+
			"that were named: name the keys as they are written, or run: stoker warm %s", e.unreadable, job.Name)
	case e.running:
		return "not every key was found, and a run of the job is going on that may bring one that is equal: " +
			"invalidate again when it has ended"
	}
	return ""
}
