package worker

import (
	"context"
	"crypto/rand"
	"time"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/cache"
)

// Guarded is a cache that may lose what it has; store/cache is one.
type Guarded interface {
	Lost(ctx context.Context) (reason string, err error)
	Arm(ctx context.Context) (*cache.Armed, error)
	Renew(ctx context.Context) (*cache.Armed, error)
}

// How soon it is noticed that Redis has lost what it had, and that Postgres' history is another one, when no run and
// no refresh comes across it before. The first costs Redis one cheap command each time, and INFO every other time.
const (
	lossEvery    = 450 * time.Millisecond
	historyEvery = 10 * time.Second
)

// Watch checks, until ctx ends, whether Redis and Postgres are still those that the cached values come from. If
// not, an epoch begins, and the scheduler has every job run again.
func (w *Worker) Watch(ctx context.Context, c Guarded) {
	last, known := time.Now(), false
	for store.Sleep(ctx, lossEvery) {
		limited, cancel := context.WithTimeout(ctx, historyEvery)
		lost, err := c.Lost(limited)
		if err == nil && (lost != "" || time.Since(last) >= historyEvery) {
			last = time.Now()
			if lost != "" && known { // at the first start there is nothing to lose
				w.log.Warn("the cache was lost: an epoch begins, and jobs are run again", "reason", lost)
			}
			err = w.checkServers(limited, c, lost)
		}
		known = known || err == nil && lost == ""
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

// checkServers arms and takes the stamp of a snapshot: whatever has changed shows in that, and begins an epoch.
func (w *Worker) checkServers(ctx context.Context, c Guarded, lost string) error {
	arm := c.Arm
	if lost != "" {
		arm = c.Renew
	}
	armed, err := arm(ctx)
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
