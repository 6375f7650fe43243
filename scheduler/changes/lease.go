package changes

import (
	"context"
	"crypto/rand"
	"errors"
	"time"

	"github.com/stokerhq/stoker/jobs"
)

// The lease of the follower: one that was killed is replaced within leaseTTL and
// standEvery. The name is none that a job can have.
const (
	leaseName  = "#changes"
	leaseTTL   = 3 * time.Second
	leaseEvery = time.Second
	standEvery = 500 * time.Millisecond
)

var errLeaseLost = errors.New("another replica follows now")

// hold waits for the lease, calls do while it is held, and gives it back.
func (f *Follower) hold(ctx context.Context, do func(context.Context) error) error {
	holder := rand.Text()
	for {
		ok, err := f.leases.Lease(ctx, leaseName, holder, leaseTTL)
		if err != nil {
			return err
		}
		if ok {
			break
		}
		f.decide()
		if !sleep(ctx, standEvery) {
			return ctx.Err()
		}
	}
	held, lost := context.WithCancelCause(ctx)
	renewing := make(chan struct{})
	go func() {
		defer close(renewing)
		f.renew(held, holder, lost)
	}()
	err := do(held)
	lost(nil)
	<-renewing
	f.release(ctx, holder)
	return err
}

// renew keeps the lease until ctx ends. A Redis that does not answer gives it to
// nobody else; of one that has lost it, who asks first has it.
func (f *Follower) renew(ctx context.Context, holder string, lost context.CancelCauseFunc) {
	for sleep(ctx, leaseEvery) {
		ok, err := f.leases.Renew(ctx, leaseName, holder, leaseTTL)
		if err == nil && !ok {
			lost(errLeaseLost)
			return
		}
	}
}

// release gives the lease back, also when ctx has ended.
func (f *Follower) release(ctx context.Context, holder string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if err := f.leases.Release(ctx, leaseName, holder); err != nil {
		f.log.Warn("the lease of the change feed was not given back; it lapses by itself", jobs.LogErr, err)
	}
}
