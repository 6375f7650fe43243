package render

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/cache"
)

// Batches in flight of one run. Their number and their bytes bound its memory,
// whatever the size of the result and of its values. A third writer makes a run
// some 3 % faster, and API nodes wait half as long again behind its batches: their
// p99 is what it is for as long as all writers' batches take.
const (
	writers  = 2
	batches  = 3 * writers
	inFlight = 16 << 20 // bytes; a batch that is larger goes alone
)

// writeLimit is how long the batch at hand may take when the run has ended.
const writeLimit = 5 * time.Second

// Pipeline lets writers run beside the reader: full batches go to the writers,
// empty ones come back. A slow Redis stops the reader, and through TCP Postgres.
type Pipeline struct {
	ctx   context.Context // ends when the run does, or a writer failed
	group *errgroup.Group
	free  chan *store.Batch
	full  chan *store.Batch
	room  *semaphore.Weighted // bytes that may still be in flight

	mu    sync.Mutex
	done  cache.Outcome // of all batches that were written
	keys  int64         // in these batches, but for those to remove
	bytes int64         // of these keys and their values
}

// Write is what a writer does with a batch.
type Write func(ctx context.Context, b *store.Batch) (cache.Outcome, error)

func NewPipeline(ctx context.Context, w Write) *Pipeline {
	p := &Pipeline{free: make(chan *store.Batch, batches), full: make(chan *store.Batch, batches),
		room: semaphore.NewWeighted(inFlight)}
	for range batches {
		p.free <- &store.Batch{}
	}
	p.group, p.ctx = errgroup.WithContext(ctx)
	for range writers {
		p.group.Go(func() error { return p.writer(w) })
	}
	return p
}

// writer writes batches until there are no more, or the run has ended. A batch
// that was begun is ended even if the run is stopped meanwhile.
func (p *Pipeline) writer(w Write) error {
	for {
		select {
		case <-p.ctx.Done():
			return context.Cause(p.ctx)
		case b, more := <-p.full:
			if !more {
				return nil
			}
			if err := p.write(w, b); err != nil {
				return err
			}
		}
	}
}

func (p *Pipeline) write(w Write, b *store.Batch) error {
	if p.ctx.Err() != nil {
		return context.Cause(p.ctx)
	}
	ctx, cancel := store.Later(p.ctx, writeLimit)
	defer cancel()
	out, err := w(ctx, b)
	if err != nil {
		return err
	}
	p.count(b, out)
	p.room.Release(share(b))
	b.Reset()
	p.free <- b
	return nil
}

func (p *Pipeline) count(b *store.Batch, out cache.Outcome) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done.Add(out)
	for i := range b.Len() {
		if e := b.Entry(i); e.Op != store.Remove {
			p.keys++
			p.bytes += int64(e.Size())
		}
	}
}

// Progress is how many keys, of how many bytes, were written so far.
func (p *Pipeline) Progress() (keys, bytes int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.keys, p.bytes
}

// FillRecord completes a record.
func (p *Pipeline) FillRecord(r *store.Record) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r.Keys, r.Bytes, r.Kept, r.Sent, r.Old = p.keys, p.bytes, p.done.Kept, p.done.Bytes, p.done.Old
	r.Removed += p.done.Removed
}

// Send hands a full batch to the writers (nil: none yet) and returns an empty
// one. It fails when the run has ended.
func (p *Pipeline) Send(b *store.Batch) (*store.Batch, error) {
	if b != nil {
		if err := p.room.Acquire(p.ctx, share(b)); err != nil {
			return nil, context.Cause(p.ctx)
		}
		p.full <- b // never blocks: there is room for every batch
	}
	select {
	case b := <-p.free:
		return b, p.ctx.Err()
	case <-p.ctx.Done():
		return nil, context.Cause(p.ctx)
	}
}

// share is what a batch takes of the bytes that may be in flight.
func share(b *store.Batch) int64 { return min(int64(b.Size()), inFlight) }

// Wait ends the writers and returns the error that ended the run, if one did: a
// writer's before err, which may only be its echo.
func (p *Pipeline) Wait(err error) error {
	close(p.full)
	if werr := p.group.Wait(); werr != nil {
		return werr
	}
	return err
}
