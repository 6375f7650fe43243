package changes

import (
	"context"
	"crypto/rand"
	"errors"
	"time"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
)

// LeaseName is the name of the follower's lease, which no job can have.
const LeaseName = "#changes"

// The lease of the follower: one that was killed is replaced within leaseTTL and
// standEvery.
const (
	leaseTTL   = 3 * time.Second
	leaseEvery = time.Second
	standEvery = 500 * time.Millisecond
)

// Leases lets one replica follow; store/ledger has them.
type Leases interface {
	Lease(ctx context.Context, name, holder string, ttl time.Duration) (bool, error)
	Renew(ctx context.Context, name, holder string, ttl time.Duration) (bool, error)
	Release(ctx context.Context, name, holder string) error
}

var errLeaseLost = errors.New("another replica follows now")

// withLease waits for the lease, calls do while it is held, and gives it back.
func (f *Follower) withLease(ctx context.Context, do func(context.Context) error) error {
	holder := rand.Text()
	for {
		ok, err := f.cfg.Leases.Lease(ctx, LeaseName, holder, leaseTTL)
		if err != nil {
			return err
		}
		if ok {
			break
		}
		f.markStarted()
		if !store.Sleep(ctx, standEvery) {
			return ctx.Err()
		}
	}
	held, lost := context.WithCancelCause(ctx)
	renewing := make(chan struct{})
	go func() {
		defer close(renewing)
		store.KeepLease(held, leaseEvery, func(ctx context.Context) (bool, error) {
			return f.cfg.Leases.Renew(ctx, LeaseName, holder, leaseTTL)
		}, func(held bool, err error) {
			if err == nil && !held {
				lost(errLeaseLost)
			}
		})
	}()
	err := do(held)
	lost(nil)
	<-renewing
	f.release(ctx, holder)
	return err
}

// release gives the lease back, also when ctx has ended.
func (f *Follower) release(ctx context.Context, holder string) {
	ctx, cancel := store.Afterwards(ctx, time.Second)
	defer cancel()
	if err := f.cfg.Leases.Release(ctx, LeaseName, holder); err != nil {
		f.log.Warn("the lease of the change feed was not given back; it lapses by itself", jobs.LogErr, err)
	}
}
