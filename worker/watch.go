package worker

import (
	"context"
	"crypto/rand"
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
			// runs and refreshes say so louder
			w.log.Debug("the databases do not answer a look at them", jobs.LogErr, err)
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
	_, err = w.calls.stamp(ctx, armed, now)
	return err
}

// Pruner is a cache whose book wants pruning; store/cache is one.
type Pruner interface {
	Prune(ctx context.Context) (removed int64, err error)
	PruneEvery() time.Duration
}

// prunerLease is the name of the lease of who prunes.
const prunerLease = "#prune"

// Prune prunes the book of the cache again and again until ctx ends. Of several
// processes one does it at a time.
func (w *Worker) Prune(ctx context.Context, p Pruner) {
	holder := rand.Text()
	tick := time.NewTicker(p.PruneEvery())
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		mine, err := w.ledger.Lease(ctx, prunerLease, holder, p.PruneEvery()/2)
		var n int64
		if err == nil && mine {
			n, err = p.Prune(ctx)
			w.metrics.pruned.Add(float64(n))
		}
		if err != nil && ctx.Err() == nil {
			w.log.Warn("the book was not pruned; the next time does it", jobs.LogErr, err)
		}
	}
}
