package worker

import (
	"context"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/cache"
)

// Batches in flight of one run. Their number and their bytes bound its memory,
// whatever the size of the result and of its values.
const (
	writers  = 3
	batches  = 2 * writers
	inFlight = 16 << 20 // bytes; a batch that is larger goes alone
)

// pipeline lets writers run beside the reader: full batches go to the writers,
// empty ones come back. A slow Redis stops the reader, and through TCP Postgres.
type pipeline struct {
	ctx   context.Context // ends when the run does, or a writer failed
	group *errgroup.Group
	free  chan *store.Batch
	full  chan *store.Batch
	room  *semaphore.Weighted // bytes that may still be in flight

	keys, bytes atomic.Int64 // written
}

// write is what a writer does with a batch.
type write func(ctx context.Context, b *store.Batch) (keys int64, err error)

func newPipeline(ctx context.Context, w write) *pipeline {
	p := &pipeline{free: make(chan *store.Batch, batches), full: make(chan *store.Batch, batches), room: semaphore.NewWeighted(inFlight)}
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
func (p *pipeline) writer(w write) error {
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

func (p *pipeline) write(w write, b *store.Batch) error {
	if p.ctx.Err() != nil {
		return context.Cause(p.ctx)
	}
	ctx, cancel := afterwards(p.ctx)
	defer cancel()
	keys, err := w(ctx, b)
	if err != nil {
		return err
	}
	p.keys.Add(keys)
	p.bytes.Add(int64(b.Size()))
	p.room.Release(share(b))
	b.Reset()
	p.free <- b
	return nil
}

// send hands a full batch to the writers (nil: none yet) and returns an empty
// one. It fails when the run has ended.
func (p *pipeline) send(b *store.Batch) (*store.Batch, error) {
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

// wait ends the writers and returns the error that ended the run, if one did: a
// writer's before err, which may only be its echo.
func (p *pipeline) wait(err error) error {
	close(p.full)
	if werr := p.group.Wait(); werr != nil {
		return werr
	}
	return err
}

// putter writes batches to the cache.
func putter(c Cache, a cache.Armed) write {
	return func(ctx context.Context, b *store.Batch) (int64, error) {
		return int64(b.Len()), c.Put(ctx, a, b)
	}
}

// remover drops the keys of batches from the cache.
func remover(c Cache, a cache.Armed) write {
	return func(ctx context.Context, b *store.Batch) (int64, error) {
		keys := make([][]byte, b.Len())
		for i := range keys {
			keys[i] = b.Entry(i).Key
		}
		return c.Remove(ctx, a, keys)
	}
}
