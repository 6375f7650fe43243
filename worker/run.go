package worker

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
)

// run is one full warm of a job, or the removal of its keyset.
type run struct {
	w      *Worker
	job    *jobs.Job
	rec    store.Record
	rows   atomic.Int64
	pipe   atomic.Pointer[pipeline]
	sample sample
	watch  func(store.Progress) // told of progress as well; may be nil
	mute   bool                 // it was said that progress cannot be published
}

// Run does what t asks, now and in this process, and returns its record. watch,
// if not nil, is told of progress about four times a second. A run that fails
// has changed nothing that was good: values that were written stay, values it
// did not reach keep their TTL, nothing is removed.
func (w *Worker) Run(ctx context.Context, id string, t jobs.Run, watch func(store.Progress)) (store.Record, error) {
	job, ok := w.spec.Job(t.Job)
	if !ok {
		return store.Record{}, unknownJob(t.Job, w.spec.File)
	}
	r := &run{w: w, job: job, watch: watch, rec: store.Record{
		ID: id, Job: job.Name, Cause: string(t.Cause), Start: time.Now().UTC(), Removal: t.Remove,
	}}
	if t.Due > 0 {
		r.rec.Due = time.Unix(t.Due, 0).UTC()
	}
	limited, cancel := context.WithTimeoutCause(ctx, job.Timeout, fmt.Errorf("the run took longer than the job's timeout of %s", job.Timeout))
	defer cancel()
	err := r.do(limited)
	return r.end(ctx, err)
}

// do is the recipe: arm, read, encode, put.
func (r *run) do(ctx context.Context) error {
	armed, err := r.w.cache.Arm(ctx)
	if err != nil {
		return err
	}
	defer r.tell(ctx)()
	target := putter(r.w.cache, armed)
	if r.rec.Removal {
		target = remover(r.w.cache, armed)
	}
	err = r.w.source.Run(ctx, r.job, func(reading *store.Reading) error {
		defer func() { r.rec.Database = time.Since(reading.Begun) }()
		r.rec.Snapshot = reading.Snapshot
		pipe := newPipeline(ctx, target)
		r.pipe.Store(pipe)
		return pipe.wait(r.pour(pipe, reading))
	})
	return r.explain(ctx, err)
}

// pour sends every row of the reading through the shaper into the pipeline.
func (r *run) pour(pipe *pipeline, reading *store.Reading) error {
	s, err := newShaper(r.job, reading, r.sampling(pipe.send))
	if err != nil {
		return err
	}
	s.bare = r.rec.Removal
	err = s.pour(reading.Rows, r.rows.Store)
	r.rec.NullKeys, r.rec.BadKeys, r.rec.Oversized, r.rec.Warning = s.nullKeys, s.badKeys, s.oversized, s.warning
	return err
}

// explain says how far a failed run came, and puts the reason a context ended
// in place of the bare "context canceled".
func (r *run) explain(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	if _, named := errors.AsType[*rowError](err); named {
		return err
	}
	if n := r.rows.Load(); n > 0 {
		return fmt.Errorf("after row %d: %w", n, err)
	}
	return err
}

// end completes the record, keeps it and says so in one line.
func (r *run) end(ctx context.Context, err error) (store.Record, error) {
	rec := &r.rec
	rec.End, rec.Rows, rec.State = time.Now().UTC(), r.rows.Load(), store.StateOK
	if pipe := r.pipe.Load(); pipe != nil {
		rec.Keys, rec.Bytes = pipe.keys.Load(), pipe.bytes.Load()
	}
	if rec.Removal {
		rec.Removed, rec.Keys, rec.Bytes = rec.Keys, 0, 0
	}
	if err != nil {
		rec.State, rec.Error = store.StateFailed, err.Error()
		if errors.Is(err, ErrStopping) {
			rec.State = store.StateInterrupted
		}
	}
	r.keep(ctx)
	r.w.observeRun(*rec, err)
	return *rec, err
}

// keep writes the record, and the sample of a complete run.
func (r *run) keep(ctx context.Context) {
	ctx, cancel := afterwards(ctx)
	defer cancel()
	err := r.w.ledger.Add(ctx, r.rec)
	if err == nil && r.rec.State == store.StateOK && !r.rec.Removal {
		err = r.w.ledger.KeepSample(ctx, r.job.Name, r.sample.keys)
	}
	if err != nil {
		r.w.log.Error("the record of a run was not kept", jobs.LogJob, r.job.Name, jobs.LogTask, r.rec.ID, jobs.LogErr, err)
	}
}

// tellEvery is how often progress is published.
const tellEvery = 250 * time.Millisecond

// tell publishes progress until the returned function is called.
func (r *run) tell(ctx context.Context) (stop func()) {
	expected := r.expected(ctx)
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(tellEvery)
		defer tick.Stop()
		for {
			r.report(ctx, expected)
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	}()
	return func() { cancel(); <-done }
}

// estimator is a Source that can guess how many rows a run will have.
type estimator interface {
	Estimate(ctx context.Context, job *jobs.Job) (rows int64, err error)
}

// expected is how many rows the last complete run had, or else the planner's
// guess. 0 is unknown: progress merely has no percentage then.
func (r *run) expected(ctx context.Context) int64 {
	if last, ok, err := r.w.ledger.LastComplete(ctx, r.job.Name); err == nil && ok {
		return last.Rows
	}
	if e, ok := r.w.source.(estimator); ok {
		if rows, err := e.Estimate(ctx, r.job); err == nil {
			return rows
		}
	}
	return 0 // what is wrong with the ledger or the query, the run itself will tell
}

func (r *run) report(ctx context.Context, expected int64) {
	p := store.Progress{ID: r.rec.ID, Job: r.job.Name, Start: r.rec.Start, Rows: r.rows.Load(), Expected: expected}
	if pipe := r.pipe.Load(); pipe != nil {
		p.Keys, p.Bytes = pipe.keys.Load(), pipe.bytes.Load()
	}
	if r.watch != nil {
		r.watch(p)
	}
	if err := r.w.ledger.Report(ctx, p); err != nil && ctx.Err() == nil && !r.mute {
		r.mute = true // once is enough: the next report comes in a moment
		r.w.log.Warn("progress was not published", jobs.LogJob, r.job.Name, jobs.LogErr, err)
	}
}

// sampling looks at every batch that is sent on its way.
func (r *run) sampling(send func(*store.Batch) (*store.Batch, error)) func(*store.Batch) (*store.Batch, error) {
	return func(b *store.Batch) (*store.Batch, error) {
		if b != nil {
			for i := range b.Len() {
				r.sample.add(b.Entry(i).Key)
			}
		}
		return send(b)
	}
}

// sampleSize keys make warmth known to some 4 percent.
const sampleSize = 128

// sample is a uniform random choice of the keys of a run of unknown length
// (reservoir sampling, Vitter's algorithm R).
type sample struct {
	keys []string
	seen int
}

func (s *sample) add(key []byte) {
	s.seen++
	if len(s.keys) < sampleSize {
		s.keys = append(s.keys, string(key))
	} else if i := rand.IntN(s.seen); i < sampleSize {
		s.keys[i] = string(key)
	}
}
