package worker

import (
	"context"
	"time"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store/cache"
)

// Renewer is a cache that can be armed anew; store/cache is one.
type Renewer interface {
	Renew(ctx context.Context) (*cache.Armed, error)
}

// watchEvery is how soon it is noticed that a server was started again or
// replaced, when no run and no refresh comes across it before.
const watchEvery = 10 * time.Second

// Watch looks, until ctx ends, whether Redis and Postgres are still those that
// the cached values come from. If not, an epoch begins, and the scheduler has
// every job run again.
func (w *Worker) Watch(ctx context.Context, c Renewer) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		limited, cancel := context.WithTimeout(ctx, watchEvery)
		err := w.checkServers(limited, c)
		cancel()
		switch {
		case ctx.Err() != nil:
		case cache.Again(err):
			w.log.Warn("an epoch begins: jobs are run again", jobs.LogErr, err)
		case err != nil:
			w.log.Debug("the databases do not answer a look at them", jobs.LogErr, err) // runs and refreshes say so louder
		}
	}
}

func (w *Worker) checkServers(ctx context.Context, c Renewer) error {
	armed, err := c.Renew(ctx)
	if err != nil {
		return err
	}
	now, err := w.source.Now(ctx)
	if err != nil {
		return err
	}
	_, err = w.cache.Stamp(ctx, armed, now)
	return err
}
