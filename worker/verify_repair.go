package worker

import (
	"context"
	"fmt"
	"slices"

	"github.com/stokerhq/stoker/jobs"
)

// repair mends what is wrong as an invalidation does, by a fence and a refresh,
// and looks again.
func (v *verifier) repair(ctx context.Context) error {
	mend := slices.DeleteFunc(slices.Clone(v.wrong), func(s *candidate) bool { return s.kind == held })
	if err := v.w.mend(ctx, v.job, "verify", mend); err != nil {
		return fmt.Errorf("repair: %w", err)
	}
	anew := make(map[string]*candidate, len(mend))
	for _, s := range mend {
		anew[s.key] = &candidate{key: s.key, values: s.values}
		v.doubts.add(anew[s.key])
	}
	settled, err := v.recheckAll(ctx)
	if err != nil {
		return fmt.Errorf("look at what was repaired: %w", err)
	}
	for _, s := range settled.wrong {
		delete(anew, s.key)
	}
	for _, s := range mend {
		again, fine := anew[s.key]
		s.mended = fine && !again.moving
	}
	return nil
}

// mend refreshes keys: the one way to write a value. A key without a row is
// removed by it, under a fence of a snapshot that shows that there is none; a
// removal without looking could drop a row that has just come.
func (w *Worker) mend(ctx context.Context, job *jobs.Job, id string, list []*candidate) error {
	for part := range slices.Chunk(list, jobs.MaxKeys) {
		var keys []jobs.Key
		for _, s := range part {
			if key, ok := s.keyOf(job); ok {
				keys = append(keys, key)
			}
		}
		if len(keys) == 0 {
			continue
		}
		if _, err := w.Refresh(ctx, id, jobs.Invalidation{Job: job.Name, Keys: keys}); err != nil {
			return err
		}
	}
	return nil
}
