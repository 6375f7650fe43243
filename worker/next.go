package worker

import (
	"context"
	"errors"
	"time"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/cache"
	"github.com/stokerhq/stoker/store/manifest"
	"github.com/stokerhq/stoker/worker/render"
	"github.com/stokerhq/stoker/worker/written"
)

// nextManifest is what a run leaves for the next one: its keys with the digests of their values, in chunks
// that are kept as they fill.
type nextManifest struct {
	cache.Manifest
	ctx   context.Context
	r     *run
	claim *cache.Claim

	chunk   manifest.Chunk
	written written.Chunks
	part    cache.Manifest // what every part of it has in common
	lost    error          // why it cannot be kept
}

// add adds a key.
func (n *nextManifest) add(key []byte, digest uint64) {
	if n.lost != nil {
		return
	}
	if n.chunk.Add(key, digest); n.chunk.Len() == manifest.ChunkKeys {
		n.flush()
	}
}

// flush keeps the chunk at hand.
func (n *nextManifest) flush() {
	if n.lost == nil && n.chunk.Len() > 0 {
		n.lost = n.r.w.cache.KeepChunk(n.ctx, n.r.job.Name, &n.Manifest, n.chunk.Bytes(), n.r.job.TTL)
		n.chunk.Reset()
	}
}

// withOrder returns send with a note of each batch, in the order in which they go.
func (n *nextManifest) withOrder(send render.Send) render.Send {
	return func(b *store.Batch) (*store.Batch, error) {
		if b != nil {
			n.written.Sent(b, n.Chunks)
		}
		return send(b)
	}
}

// wrote notes that a batch is written, and keeps how far the run has come.
func (n *nextManifest) wrote(ctx context.Context, b *store.Batch) {
	n.written.Written(b, func(chunks int) {
		part := n.part
		part.Chunks = chunks
		if err := n.r.w.calls.keepPart(ctx, n.r.job.Name, part, n.r.job.TTL); err != nil {
			n.r.w.log.Debug("how far a run has come was not kept", jobs.LogJob, n.r.job.Name, jobs.LogErr, err)
		}
	})
}

// leave ends the manifest of a run that has failed. As far as its values are written it stays, for the next run to go
// on from, unless that cannot trust it anyway.
func (n *nextManifest) leave(err error) {
	if n.written.Count() == 0 || errors.Is(err, cache.ErrSuperseded) || cache.Again(err) {
		n.discard()
		return
	}
	ctx, cancel := store.Afterwards(n.ctx, afterwardsLimit)
	defer cancel()
	if err := n.r.w.cache.DropRest(ctx, n.r.job.Name, n.Manifest, n.written.Count()); err != nil {
		n.r.w.log.Warn("a part of the manifest of a failed run was not removed; it expires", jobs.LogJob, n.r.job.Name,
			jobs.LogErr, err)
	}
}

// discard removes what was kept: the run has failed.
func (n *nextManifest) discard() {
	ctx, cancel := store.Afterwards(n.ctx, afterwardsLimit)
	defer cancel()
	if err := n.r.w.calls.dropChunks(ctx, n.r.job.Name, n.Manifest); err != nil {
		n.r.w.log.Warn("the manifest of a failed run was not removed; it expires", jobs.LogJob, n.r.job.Name,
			jobs.LogErr, err)
	}
}

// replace puts the manifest in the place of the last one. Without it the next run sends everything, and
// nothing is known of keys that vanish.
func (n *nextManifest) replace(ctx context.Context, previous cache.Manifest) error {
	n.flush()
	if n.lost == nil {
		rec := &n.r.rec
		n.Rows, n.NullKeys, n.BadKeys, n.Oversized, n.Duplicates, n.Warning = n.r.rows.Load(), rec.NullKeys,
			rec.BadKeys, rec.Oversized, rec.Duplicates, rec.Warning
		n.Took = time.Since(rec.Start).Milliseconds()
		n.lost = n.r.w.cache.KeepManifest(ctx, n.claim, n.r.job.Name, n.Manifest, previous, n.r.job.TTL)
	}
	switch {
	case n.lost == nil || ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(n.lost, cache.ErrSuperseded) || cache.Again(n.lost):
		n.discard()
		return n.lost
	}
	n.r.w.log.Warn("the manifest of a run was not kept: the next run sends all values", jobs.LogJob, n.r.job.Name,
		jobs.LogErr, n.lost)
	n.discard()
	return nil
}
