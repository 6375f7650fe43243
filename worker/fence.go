package worker

import (
	"context"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/cache"
	"github.com/stokerhq/stoker/worker/render"
)

// Fence says that keys of a job are out of date from now on: it fences them with
// a snapshot taken in this call, so that a caller who has committed first is
// safe, whenever the task is done that loads or removes them. A value that its
// column's type cannot take is a store.KeyValueError, and nothing is fenced.
func (w *Worker) Fence(ctx context.Context, job *jobs.Job, keys []jobs.Key) error {
	if err := w.admit(ctx, false); err != nil {
		return err
	}
	return w.noteRefusal(w.fenceNow(ctx, job, keys))
}

func (w *Worker) fenceNow(ctx context.Context, job *jobs.Job, keys []jobs.Key) error {
	for n := 1; ; n++ {
		armed, err := w.cache.Arm(ctx)
		if err != nil {
			return err
		}
		err = w.source.Keys(ctx, job, keys, func(r *store.Reading) error {
			stamp, err := w.calls.stamp(ctx, armed, r.Snapshot)
			if err != nil {
				return err
			}
			f := refresh{w: w, job: job, reading: r, out: &Refreshed{}, armed: armed, stamp: stamp}
			_, asked, err := f.name(ctx)
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
