// Package preview shows what a run of a job would write, and writes nothing.
package preview

import (
	"context"
	"errors"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/worker/render"
)

// Source reads a job's rows; store/postgres is one.
type Source interface {
	Run(ctx context.Context, job *jobs.Job, fn func(*store.Reading) error) error
}

// errEnough ends a preview that has shown what was asked for.
var errEnough = errors.New("enough")

// Show shows the first entries that a run of job would write, up to limit,
// and writes nothing. The slices of an entry are valid inside show. It returns
// what a run would warn of among the rows it looked at.
func Show(ctx context.Context, src Source, job *jobs.Job, limit int, show func(store.Entry) error) (warning string,
	err error) {
	ctx, cancel := context.WithTimeout(ctx, job.Timeout)
	defer cancel()
	var s *render.Renderer
	err = src.Run(ctx, job, func(r *store.Reading) error {
		shown := 0
		each := func(b *store.Batch) (*store.Batch, error) {
			if b == nil {
				return &store.Batch{}, nil
			}
			for i := range b.Len() {
				if shown++; shown > limit {
					return nil, errEnough
				}
				if err := show(b.Entry(i)); err != nil {
					return nil, err
				}
			}
			b.Reset()
			return b, nil
		}
		if s, err = render.New(job, r, each); err != nil {
			return err
		}
		s.Fill = min(render.BatchKeys, limit+1)
		return s.RenderAll(r.Rows, func(int64) {})
	})
	if s != nil {
		warning = s.Warning
	}
	if errors.Is(err, errEnough) {
		return warning, nil
	}
	return warning, err
}
