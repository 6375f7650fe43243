package worker

import (
	"context"
	"crypto/rand"
	"time"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
)

// RunLocal does a run in this process, for scripts and deployments without a
// daemon. A run of the job that is going on elsewhere is waited for; waiting is
// called once when there is one.
func (w *Worker) RunLocal(ctx context.Context, t jobs.Run, waiting func(), watch func(store.Progress)) (store.Record, error) {
	if _, ok := w.spec.Job(t.Job); !ok {
		return store.Record{}, unknownJob(t.Job, w.spec.File)
	}
	id := "local:" + rand.Text()
	for {
		release, ok, err := w.acquireLease(ctx, t.Job, id)
		if err != nil {
			return store.Record{}, err
		}
		if ok {
			defer release()
			return w.Run(ctx, id, t, watch)
		}
		waiting()
		waiting = func() {}
		if store.Sleep(ctx, time.Second); ctx.Err() != nil {
			return store.Record{}, context.Cause(ctx)
		}
	}
}
