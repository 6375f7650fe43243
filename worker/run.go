package worker

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/jobs/tracing"
	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/cache"
	"github.com/stokerhq/stoker/store/cache/patience"
	"github.com/stokerhq/stoker/worker/headroom"
	"github.com/stokerhq/stoker/worker/render"
	"github.com/stokerhq/stoker/worker/spans"
)

// run is one full warm of a job, or the removal of its keyset.
type run struct {
	w    *Worker
	job  *jobs.Job
	task jobs.Run
	rec  store.Record
	rows atomic.Int64
	pipe atomic.Pointer[render.Pipeline]
	// why the run does not go on now; nil: it does
	waiting atomic.Pointer[string]
	waited  waited
	sample  sample
	watch   func(store.Progress) // told of progress as well; may be nil
	mute    bool                 // it was said that progress cannot be published
}

// Run does what t asks, now and in this process, and returns its record. watch,
// if not nil, gets the progress about four times a second. A run that fails
// has changed nothing that was good: values that were written stay, values it
// did not reach keep their TTL, nothing is removed.
func (w *Worker) Run(ctx context.Context, id string, t jobs.Run, watch func(store.Progress)) (store.Record, error) {
	ctx, job, done, err := w.defs.Begin(ctx, t.Job)
	if err != nil {
		return store.Record{}, err
	}
	defer done()
	r := &run{w: w, job: job, task: t, watch: watch, rec: store.Record{
		ID: id, Job: job.Name, Definition: job.Definition(), Cause: string(t.Cause), Start: time.Now().UTC(),
		Removal: t.Remove,
	}}
	if t.Due > 0 {
		r.rec.Due = time.Unix(t.Due, 0).UTC()
	}
	limited, cancel := context.WithTimeoutCause(ctx, job.Timeout,
		fmt.Errorf("the run took longer than the job's timeout of %s", job.Timeout))
	defer cancel()
	err = w.gate.Note(r.do(limited))
	return r.end(ctx, err)
}

// attempts is how often a run begins again before it is left to the queue.
const attempts = 5

// do runs the recipe until it comes through: a cache that has lost its book, or a
// Postgres whose history has changed, asks for a new snapshot.
func (r *run) do(ctx context.Context) error {
	if _, err := r.w.cache.Arm(ctx); err != nil { // before the database is asked anything
		return err
	}
	if err := r.w.gate.Probe(ctx); err != nil {
		return err
	}
	ctx = store.OnWait(patience.With(ctx, r.noteWaiting), r.waiting.Store)
	defer r.publishProgress(ctx)()
	for n := 1; ; n++ {
		err := r.attempt(ctx)
		if !cache.Again(err) || n == attempts || ctx.Err() != nil {
			return r.withPosition(ctx, err)
		}
		r.rec.Restarts++
		r.w.log.Warn("run begins again", jobs.LogJob, r.job.Name, jobs.LogTask, r.rec.ID, jobs.LogErr, err)
		store.Sleep(ctx, time.Duration(n)*50*time.Millisecond)
	}
}

// attempt is the recipe: arm, read, claim, encode, put, remember.
func (r *run) attempt(ctx context.Context) error {
	r.rec.Removed, r.rec.Held = 0, 0
	armed, err := r.w.cache.Arm(ctx)
	if err != nil {
		return err
	}
	done, err := r.tryUnchanged(ctx, armed)
	if err == nil && !done {
		err = r.read(ctx, armed)
	}
	if cache.Again(err) {
		r.w.cache.Disarm(armed)
	}
	return err
}

// read reads the query's result, if the cache has room for it, and writes it.
func (r *run) read(ctx context.Context, armed *cache.Armed) (err error) {
	var room *headroom.Watch
	if !r.task.Remove {
		if room, err = r.w.headroom.Begin(ctx, r.job); err != nil {
			return err
		}
	}
	ctx, span := tracing.Child(ctx, "snapshot", r.job.Name)
	err = r.w.source.Run(ctx, r.job, func(reading *store.Reading) error {
		defer func() { r.rec.Database = time.Since(reading.Begun) }()
		return r.write(ctx, armed, reading, room)
	})
	span.EndWith(err)
	return err
}

// claim takes the job over for a snapshot.
func (r *run) claim(ctx context.Context, armed *cache.Armed, s store.Snapshot, id string) (*cache.Claim, error) {
	stamp, err := r.w.calls.stamp(ctx, armed, s)
	if err != nil {
		return nil, err
	}
	r.rec.Snapshot, r.rec.Epoch = s.Text, stamp.Epoch
	return r.w.calls.claimRun(ctx, armed, r.job, stamp, id)
}

// write writes what is read, and then what has gone and what is to be remembered.
func (r *run) write(ctx context.Context, armed *cache.Armed, reading *store.Reading, room *headroom.Watch) error {
	claim, err := r.claim(ctx, armed, reading.Snapshot, cache.NewID())
	if err != nil {
		return err
	}
	defer claim.Close()
	m, err := r.loadManifestState(ctx, claim, reading.Snapshot.Place)
	if err != nil {
		return err
	}
	defer m.previous.dropPart()
	defer m.previous.close()
	notes := tracing.BatchesOf(ctx, r.job.Name, r.batchSpans())
	put := func(ctx context.Context, b *store.Batch) (out cache.Outcome, err error) {
		if err := room.Check(ctx, b.Size()); err != nil {
			return out, err
		}
		if out, err = r.w.calls.put(ctx, claim, b); err == nil {
			m.next.wrote(ctx, b)
		}
		return out, err
	}
	pipe := render.NewPipeline(ctx, spans.Noting(notes, put))
	r.pipe.Store(pipe)
	err = pipe.Wait(r.renderAll(ctx, pipe, reading, m))
	notes.End()
	if rerr := r.removeReturned(ctx, claim, m.next.Returned); err == nil {
		err = rerr
	}
	if err != nil {
		m.next.leave(err)
		return err
	}
	return r.complete(ctx, claim, m)
}

// renderAll sends every row of the reading through the renderer into the pipeline.
func (r *run) renderAll(ctx context.Context, pipe *render.Pipeline, reading *store.Reading, m *manifestState) error {
	s, err := render.New(r.job, reading, r.withSample(m.journal.withJournal(m.next.withOrder(pipe.Send))))
	if err != nil {
		return err
	}
	s.KeysOnly = r.rec.Removal
	if !s.KeysOnly {
		s.State = m.state
		s.Suspects = make(map[string]bool)
		for _, key := range m.previous.Returned {
			s.Suspects[key] = true
		}
	}
	err = s.RenderAll(render.Paced(ctx, reading.Rows, r.job.MaxRate), r.rows.Store)
	rec := &r.rec
	rec.NullKeys, rec.BadKeys, rec.Oversized, rec.Warning = s.NullKeys, s.BadKeys, s.Oversized, s.Warning
	rec.Duplicates, rec.Returned = s.Duplicates, int64(len(s.Returned))
	m.next.Returned = slices.Sorted(maps.Keys(s.Returned))
	return err
}

// withPosition says how far a failed run came, and puts the reason a context ended
// in place of the bare "context canceled".
func (r *run) withPosition(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if cause := context.Cause(ctx); cause != nil {
		err = r.withWaiting(cause)
	}
	if _, named := errors.AsType[*render.RowError](err); named || errors.Is(err, cache.ErrSuperseded) {
		return err
	}
	if n := r.rows.Load(); n > 0 {
		return fmt.Errorf("after row %d: %w", n, err)
	}
	return err
}
