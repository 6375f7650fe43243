package worker

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/jobs/tracing"
	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/cache"
	"github.com/stokerhq/stoker/worker/render"
	"github.com/stokerhq/stoker/worker/spans"
)

// end completes the record, keeps it and says so in one line. A run that was
// superseded has not failed: what it was to write, a newer one writes.
func (r *run) end(ctx context.Context, err error) (store.Record, error) {
	rec := &r.rec
	rec.End, rec.State = time.Now().UTC(), store.StateOK
	if !rec.Unchanged {
		rec.Rows = r.rows.Load()
	}
	if pipe := r.pipe.Load(); pipe != nil {
		pipe.FillRecord(rec)
	}
	if rec.Removal {
		rec.Keys, rec.Bytes = 0, 0
	}
	switch {
	case errors.Is(err, cache.ErrSuperseded):
		rec.State, err = store.StateSuperseded, nil
	case errors.Is(err, ErrStopping):
		rec.State, rec.Error = store.StateInterrupted, err.Error()
	case err != nil:
		rec.State, rec.Error = store.StateFailed, err.Error()
	}
	if rec.State == store.StateOK && rec.Keys == 0 && !rec.Removal {
		r.explainNone(ctx)
	}
	spans.Run(tracing.Current(ctx), *rec)
	r.keepRecord(ctx)
	r.w.observeRun(*rec, err)
	return *rec, err
}

// explainNone notes whether row-level security may be why the run found no key: to Stoker, rows that are hidden are
// not there.
func (r *run) explainNone(ctx context.Context) {
	if r.w.analyst == nil {
		return
	}
	ctx, cancel := store.Afterwards(ctx, afterwardsLimit)
	defer cancel()
	var err error
	if r.rec.Filtered, err = r.w.analyst.Filtered(ctx, r.job); err != nil {
		r.w.log.Debug("it is not known whether row-level security hides rows", jobs.LogJob, r.job.Name, jobs.LogErr,
			err)
	}
	if len(r.rec.Filtered) > 0 {
		r.w.log.Warn("a run found no key, and row-level security hides rows from Stoker's role: the set is "+
			"empty, not warm",
			jobs.LogJob, r.job.Name, "relations", r.rec.Filtered)
	}
}

// keepRecord writes the record, and the sample of a complete run.
func (r *run) keepRecord(ctx context.Context) {
	ctx, cancel := store.Afterwards(ctx, afterwardsLimit)
	defer cancel()
	err := r.w.ledger.Add(ctx, r.rec)
	if err == nil && r.rec.State == store.StateOK && !r.rec.Removal && !r.rec.Unchanged {
		err = r.w.ledger.KeepSample(ctx, r.job.Name, r.sample.keys)
	}
	if err != nil {
		r.w.log.Error("the record of a run was not kept", jobs.LogJob, r.job.Name, jobs.LogTask, r.rec.ID, jobs.LogErr,
			err)
	}
}

// withSample returns send with a look at every batch before it.
func (r *run) withSample(send render.Send) render.Send {
	return func(b *store.Batch) (*store.Batch, error) {
		if b != nil {
			for i := range b.Len() {
				r.sample.add(b.Entry(i).Key)
			}
		}
		return send(b)
	}
}

// sampleSize keys tell a cache that is whole from one that is 99 % warm, with 95 % confidence.
const sampleSize = 400

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
