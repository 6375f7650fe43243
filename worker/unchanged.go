package worker

import (
	"context"
	"errors"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/cache"
	"github.com/stokerhq/stoker/store/manifest"
	"github.com/stokerhq/stoker/worker/render"
)

// errUnchanged ends a run that had nothing to read: what the last one wrote is
// what this one would write.
var errUnchanged = errors.New("nothing was committed since the last run")

// tryUnchanged returns nil if the query must be run, and errUnchanged if all is
// done without. Postgres' clock stands still while nothing is committed: then the
// query, unless it reads more than tables, returns what it did. If one key is not
// in Redis as it should be, the query is run all the same.
func (r *run) tryUnchanged(ctx context.Context, armed *cache.Armed) error {
	if r.job.Volatile || r.job.Rewrite == jobs.RewriteAlways || r.task.Rewrite || r.task.Remove {
		return nil
	}
	last, ok, err := r.w.calls.manifest(ctx, r.job.Name)
	if err != nil || !ok || last.Job != definitionHash(r.job) || last.Held > 0 && r.task.AcceptShrink {
		return err
	}
	now, err := r.w.source.Now(ctx)
	if err != nil {
		return err
	}
	if now.Clock != last.Stamp.Clock || now.Place != last.Place {
		return nil
	}
	claim, err := r.claim(ctx, armed, now, "")
	if err != nil {
		return err
	}
	defer claim.Close()
	if claim.Stamp != last.Stamp || !claim.Trust(last) {
		return nil
	}
	return r.touchAll(ctx, claim, last)
}

// touchAll looks after every key that the last run wrote.
func (r *run) touchAll(ctx context.Context, claim *cache.Claim, last cache.Manifest) error {
	next := claim.NewManifest()
	fade := needsTTLRefresh(r.job, last, next.Full)
	var b store.Batch
	see := func() (whole bool, err error) {
		n := int64(b.Len())
		out, err := r.w.cache.Touch(ctx, claim, &b)
		b.Reset()
		return out == n, err
	}
	for e, err := range manifest.Read(r.w.cache.Chunks(ctx, r.job.Name, last)) {
		if err != nil {
			if cache.NoManifest(err) {
				return nil
			}
			return err
		}
		if e.Digest == manifest.Held {
			continue
		}
		at := len(b.Buf)
		b.Buf = append(b.Buf, e.Key...)
		b.Add(at, len(b.Buf), render.TTL(r.job))
		b.Keep(fade)
		if b.Len() == render.BatchKept {
			if whole, err := see(); err != nil || !whole {
				return err
			}
		}
	}
	if whole, err := see(); err != nil || !whole {
		return err
	}
	return r.unchanged(ctx, claim, last, next, fade)
}

// unchanged ends a run without a query.
func (r *run) unchanged(ctx context.Context, claim *cache.Claim, last, next cache.Manifest, faded bool) error {
	again := last
	again.Armed = next.Armed
	if faded {
		again.Full = next.Full
	}
	rec := &r.rec
	rec.Unchanged, rec.Rows, rec.Keys, rec.Kept, rec.Bytes, rec.Held = true, last.Rows, last.Keys, last.Keys,
		last.Bytes, last.Held
	rec.NullKeys, rec.BadKeys, rec.Oversized, rec.Warning = last.NullKeys, last.BadKeys, last.Oversized, last.Warning
	if err := r.w.cache.KeepManifest(ctx, claim, r.job.Name, again, last, r.job.TTL); err != nil {
		return err
	}
	return errUnchanged
}
