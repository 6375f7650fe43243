package worker

import (
	"context"
	"crypto/rand"
	"time"

	"github.com/stokerhq/stoker/jobs"
)

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
