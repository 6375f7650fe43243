package worker

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/jobs/tracing"
	"github.com/stokerhq/stoker/store"
)

// The lease of a run lives for leaseTTL and is renewed every leaseEvery: a
// worker that was killed holds a job up for a few seconds, not longer.
const (
	leaseTTL   = 4 * time.Second
	leaseEvery = time.Second
)

// acquireLease takes the job's lease and keeps it until the returned function is called.
// It reports false if a living worker has it. A holder that does not renew is
// waited for, because it may have been killed: then the lease lapses.
func (w *Worker) acquireLease(ctx context.Context, job, id string) (release func(), ok bool, err error) {
	holder := id + "/" + rand.Text() // a task that was handed out twice has two holders
	for {
		ok, err := w.ledger.Lease(ctx, job, holder, leaseTTL)
		if err != nil {
			return nil, false, err
		}
		if ok {
			return w.keepLease(ctx, job, holder), true, nil
		}
		alive, err := w.holderRenews(ctx, job)
		if err != nil || alive {
			return nil, false, err
		}
	}
}

// holderRenews watches the lease until it is renewed, changes hands or is free.
func (w *Worker) holderRenews(ctx context.Context, job string) (bool, error) {
	first, left, err := w.ledger.Holder(ctx, job)
	if err != nil || first == "" {
		return false, err
	}
	for {
		select {
		case <-ctx.Done():
			return false, context.Cause(ctx)
		case <-time.After(leaseEvery / 5):
		}
		holder, now, err := w.ledger.Holder(ctx, job)
		if err != nil {
			return false, err
		}
		if holder != first {
			return holder != "", nil
		}
		if now > left {
			return true, nil
		}
		left = now
	}
}

func (w *Worker) logLease(job string, lost bool, err error) {
	if lost {
		w.log.Warn("the lease of a run was lost; another run of the job may begin", jobs.LogJob, job, jobs.LogErr, err)
		return
	}
	w.log.Info("the lease of a run is held again", jobs.LogJob, job)
}

// keepLease renews the lease until the returned function gives it back.
func (w *Worker) keepLease(ctx context.Context, job, holder string) (release func()) {
	renewing, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	renew := func(ctx context.Context) (bool, error) { return w.ledger.Renew(ctx, job, holder, leaseTTL) }
	lost := false
	go func() {
		defer close(done)
		store.KeepLease(renewing, leaseEvery, renew, func(held bool, err error) {
			if now := err != nil || !held; now != lost {
				lost = now
				w.logLease(job, lost, err)
			}
		})
	}()
	return func() {
		cancel()
		<-done
		ctx, cancel := store.Afterwards(ctx, afterwardsLimit)
		defer cancel()
		if err := w.ledger.Release(ctx, job, holder); err != nil {
			w.log.Warn("the lease of a run was not given back; it lapses by itself", jobs.LogJob, job, jobs.LogErr, err)
		}
	}
}

// lockKey waits for the lock of a key, but not for long, and returns what gives
// it back. A worker that dies holding it holds others up for lockTTL.
func (w *Worker) lockKey(ctx context.Context, job *jobs.Job, key jobs.Key, why error) (release func()) {
	name, holder := fmt.Sprintf("%s#%v", job.Name, map[string]string(key)), rand.Text()
	w.log.Warn("refresh is refused again and again; it waits for a lock of the key", jobs.LogJob, job.Name, "key", name,
		jobs.LogErr, why)
	for deadline := time.Now().Add(lockTTL); ; {
		ok, err := w.ledger.Lease(ctx, name, holder, lockTTL)
		if err != nil || ctx.Err() != nil || time.Now().After(deadline) {
			return func() {} // it is a matter of efficiency only
		}
		if ok {
			break
		}
		store.Sleep(ctx, 20*time.Millisecond)
	}
	return func() {
		ctx, cancel := store.Afterwards(ctx, afterwardsLimit)
		defer cancel()
		if err := w.ledger.Release(ctx, name, holder); err != nil {
			w.log.Warn("the lock of a key was not given back; it lapses by itself", jobs.LogJob, job.Name, jobs.LogErr,
				err)
		}
	}
}

// RunLocal does a run in this process, for scripts and deployments without a
// daemon. A run of the job that is going on elsewhere is waited for; waiting is
// called once when there is one.
func (w *Worker) RunLocal(ctx context.Context, t jobs.Run, waiting func(), watch func(store.Progress)) (store.Record,
	error) {
	if spec := w.defs.Now(); !spec.Has(t.Job) {
		return store.Record{}, &jobs.UnknownJobError{Job: t.Job, File: spec.File}
	}
	id := "local:" + rand.Text()
	for {
		release, ok, err := w.acquireLease(ctx, t.Job, id)
		if err != nil {
			return store.Record{}, err
		}
		if ok {
			defer release()
			ctx, span := tracing.Child(ctx, "run", t.Job)
			rec, err := w.Run(ctx, id, t, watch)
			span.EndWith(err)
			return rec, err
		}
		waiting()
		waiting = func() {}
		if store.Sleep(ctx, time.Second); ctx.Err() != nil {
			return store.Record{}, context.Cause(ctx)
		}
	}
}
