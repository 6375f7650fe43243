package worker

import (
	"bytes"
	"context"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/cache"
	"github.com/stokerhq/stoker/worker/equal"
	"github.com/stokerhq/stoker/worker/render"
)

// Fence says that keys of a job are out of date from now on, and with them those that are equal to them by
// their columns' own equality: it fences them with a snapshot taken in this call, so that a caller who has
// committed first is safe, whenever the task is done that loads or removes them. A value that its column's
// type cannot take is a store.KeyValueError, and nothing is fenced.
func (w *Worker) Fence(ctx context.Context, job *jobs.Job, keys []jobs.Key) error {
	return w.fenceNow(ctx, job, keys, w.fenceEqual)
}

// fenceEqual fences keys, and then those that the cache has and that are equal to them.
func (w *Worker) fenceEqual(ctx context.Context, job *jobs.Job, keys []jobs.Key) error {
	if err := w.fence(ctx, job, keys); err != nil {
		return err
	}
	others, err := w.EqualKeys(ctx, job, keys)
	if err != nil || len(others) == 0 {
		return err
	}
	return w.fenceReading(ctx, job, others, w.source.Keys)
}

// EqualKeys returns the keys of the job in the cache that are equal to given ones, by their columns' own equality,
// and are written otherwise.
func (w *Worker) EqualKeys(ctx context.Context, job *jobs.Job, given []jobs.Key) ([]jobs.Key, error) {
	found, err := w.finder().Find(ctx, job, given)
	return found.Keys, err
}

func (w *Worker) finder() equal.Finder {
	return equal.Finder{Source: w.source, Cache: w.cache, Runs: w.ledger}
}

// Exact is a worker that fences keys as they are written in the cache, which a change of a row tells.
type Exact struct{ *Worker }

// Fence fences keys, and those of the rows that are equal to them now.
func (w Exact) Fence(ctx context.Context, job *jobs.Job, keys []jobs.Key) error {
	return w.fenceNow(ctx, job, keys, w.fence)
}

// fenceNow fences with the definition that the job has now, by its name: see RefreshFenced. A job that is gone has no
// values that could be out of date.
func (w *Worker) fenceNow(ctx context.Context, job *jobs.Job, keys []jobs.Key,
	fence func(context.Context, *jobs.Job, []jobs.Key) error) error {
	if err := w.gate.Admit(ctx, false); err != nil {
		return err
	}
	if now, is := w.defs.Now().Job(job.Name); is {
		job = now
	}
	return w.gate.Note(fence(ctx, job, keys))
}

// fence fences keys. Where rows can be equal to them whose keys are written otherwise, these are fenced, too.
func (w *Worker) fence(ctx context.Context, job *jobs.Job, keys []jobs.Key) error {
	if err := w.fenceReading(ctx, job, keys, w.source.Keys); err != nil {
		return err
	}
	inexact, err := w.source.Inexact(ctx, job)
	if err != nil || !inexact {
		return err
	}
	return w.fenceReading(ctx, job, keys, w.source.Refresh)
}

// reader reads keys, or their rows; see Source.
type reader func(ctx context.Context, job *jobs.Job, keys []jobs.Key, fn func(*store.Reading) error) error

func (w *Worker) fenceReading(ctx context.Context, job *jobs.Job, keys []jobs.Key, read reader) error {
	for n := 1; ; n++ {
		armed, err := w.cache.Arm(ctx)
		if err != nil {
			return err
		}
		err = read(ctx, job, keys, func(r *store.Reading) error {
			stamp, err := w.calls.stamp(ctx, armed, r.Snapshot)
			if err != nil {
				return err
			}
			f := refresh{w: w, job: job, reading: r, out: &Refreshed{}, armed: armed, stamp: stamp}
			_, asked, err := f.name(ctx)
			if err == nil {
				asked, err = f.withRows(asked)
			}
			if err != nil {
				return err
			}
			return f.fence(ctx, asked, false)
		})
		if !cache.Again(err) || n == attempts {
			return err
		}
		w.cache.Disarm(armed)
	}
}

// withRows adds the keys of the reading's rows to those that were asked for.
func (f *refresh) withRows(asked [][]byte) ([][]byte, error) {
	if f.reading.Rows == nil {
		return asked, nil
	}
	s, err := render.New(f.job, f.reading, func(b *store.Batch) (*store.Batch, error) {
		if b == nil {
			return &store.Batch{}, nil
		}
		for i := range b.Len() {
			asked = append(asked, bytes.Clone(b.Entry(i).Key))
		}
		b.Reset()
		return b, nil
	})
	if err != nil {
		return nil, err
	}
	s.KeysOnly = true
	return asked, s.RenderAll(f.reading.Rows, func(int64) {})
}

// name returns a shaper for the reading, and the asked keys.
func (f *refresh) name(ctx context.Context) (s *render.Renderer, asked [][]byte, err error) {
	if s, err = render.New(f.job, f.reading, func(b *store.Batch) (*store.Batch,
		error) {
		return f.put(ctx, b)
	}); err != nil {
		return nil, nil, err
	}
	asked, err = f.asked(s)
	return s, asked, err
}

// fence fences the asked keys with the stamp of the reading, which may take a
// while yet: nothing older is written from here on.
func (f *refresh) fence(ctx context.Context, asked [][]byte, remove bool) (err error) {
	grace := f.job.StaleGrace
	if remove {
		grace = cache.Drop
	}
	f.removed, err = f.w.calls.fence(ctx, f.armed, f.stamp, asked, grace)
	return err
}

// asked names the asked keys, from the values as Postgres reads them: 007 asks
// for the same key as 7.
func (f *refresh) asked(s *render.Renderer) ([][]byte, error) {
	keys := make([][]byte, 0, len(f.reading.Given))
	narrow := s.ForKeyColumns()
	for _, row := range f.reading.Given {
		key, ok, err := narrow.Key(nil, row)
		if err != nil {
			err = s.SkipBad(err) // one key that may not be must not cost the others
		}
		if err != nil {
			return nil, err
		}
		if ok {
			keys = append(keys, key)
		}
	}
	return keys, nil
}
