package worker

import (
	"context"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/cache"
	"github.com/stokerhq/stoker/store/manifest"
	"github.com/stokerhq/stoker/worker/render"
)

// tryUnchanged reports whether the run is done without its query. Postgres' clock stands still while nothing is
// committed: then the query, unless it reads more than tables, returns what it did. If one key is not in Redis as it
// should be, the query is run all the same.
func (r *run) tryUnchanged(ctx context.Context, armed *cache.Armed) (done bool, err error) {
	if r.job.Volatile || r.job.Rewrite == jobs.RewriteAlways || r.task.Rewrite || r.task.Remove {
		return false, nil
	}
	last, ok, err := r.w.calls.manifest(ctx, r.job.Name)
	if err != nil || !ok || last.Job != r.job.Definition() || last.Held > 0 && r.task.AcceptShrink ||
		len(last.Returned) > 0 {
		return false, err
	}
	now, err := r.w.source.Now(ctx)
	if err != nil {
		return false, err
	}
	if now.Clock != last.Stamp.Clock || now.Place != last.Place {
		return false, nil
	}
	if !r.steady(ctx, now) {
		return false, nil
	}
	claim, err := r.claim(ctx, armed, now, "")
	if err != nil {
		return false, err
	}
	defer claim.Close()
	if claim.Stamp != last.Stamp || !claim.Trust(last) {
		return false, nil
	}
	return r.touchAll(ctx, claim, last)
}

// steady reports whether the query returns what it did as long as nothing is committed. If that is not known, it
// does not: then the query is run, which says what is wrong.
func (r *run) steady(ctx context.Context, now store.Snapshot) bool {
	if r.job.Steady || r.w.analyst == nil {
		return true
	}
	why, clock, err := r.w.analyst.Unsteady(ctx, r.job, now)
	if err != nil || len(why) > 0 || clock != now.Clock {
		r.w.log.Debug("the run is not skipped: the query may return something else although nothing was committed",
			jobs.LogJob, r.job.Name, "reasons", why, jobs.LogErr, err)
		return false
	}
	return true
}

// touchAll checks that every key of the last run is there, and extends its TTL where that is due.
func (r *run) touchAll(ctx context.Context, claim *cache.Claim, last cache.Manifest) (done bool, err error) {
	next := claim.NewManifest()
	extendTTL := needsTTLRefresh(r.job, last, next.Full)
	var b store.Batch
	touch := func() (whole bool, err error) {
		n := int64(b.Len())
		out, err := r.w.cache.Touch(ctx, claim, &b)
		b.Reset()
		return out == n, err
	}
	for e, err := range manifest.Read(r.w.cache.Chunks(ctx, r.job.Name, last)) {
		if err != nil {
			if cache.NoManifest(err) {
				return false, nil
			}
			return false, err
		}
		if e.Digest == manifest.Held {
			continue
		}
		at := len(b.Buf)
		b.Buf = append(b.Buf, e.Key...)
		b.Add(at, len(b.Buf), render.TTL(r.job))
		b.Keep(extendTTL)
		if b.Len() == render.BatchKept {
			if whole, err := touch(); err != nil || !whole {
				return false, err
			}
		}
	}
	if whole, err := touch(); err != nil || !whole {
		return false, err
	}
	return r.unchanged(ctx, claim, last, next, extendTTL)
}

// unchanged ends a run without a query.
func (r *run) unchanged(ctx context.Context, claim *cache.Claim, last, next cache.Manifest,
	extendedTTL bool) (done bool, err error) {
	again := last
	again.Armed = next.Armed
	if extendedTTL {
		again.Full = next.Full
	}
	rec := &r.rec
	rec.Unchanged, rec.Rows, rec.Keys, rec.Kept, rec.Bytes, rec.Held = true, last.Rows, last.Keys, last.Keys,
		last.Bytes, last.Held
	rec.NullKeys, rec.BadKeys, rec.Oversized, rec.Duplicates, rec.Warning = last.NullKeys, last.BadKeys,
		last.Oversized, last.Duplicates, last.Warning
	if err := r.w.cache.KeepManifest(ctx, claim, r.job.Name, again, last, r.job.TTL); err != nil {
		return false, err
	}
	return true, nil
}
