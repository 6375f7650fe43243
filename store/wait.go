package store

import (
	"context"
	"time"
)

// Sleep waits for d, or until ctx ends. It reports whether all of d has passed.
func Sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// Afterwards returns a context for what must be done even when ctx has ended, within limit: the record
// of a run that was cut short is kept, a lease is given back.
func Afterwards(ctx context.Context, limit time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), limit)
}

// Later returns a context that ends when ctx has ended for as long as limit: what is under way then may come
// to its end.
func Later(ctx context.Context, limit time.Duration) (context.Context, context.CancelFunc) {
	later, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		Sleep(later, limit)
		cancel()
	})
	return later, func() { stop(); cancel() }
}

// KeepLease renews a lease every so often until ctx ends, and reports each outcome: whether the lease is
// still the caller's, or why that is not known. A Redis that does not answer gives the lease to no one
// else; one that lost it gives it to the first that asks. report may end ctx.
func KeepLease(ctx context.Context, every time.Duration, renew func(context.Context) (held bool, err error),
	report func(held bool, err error)) {
	for Sleep(ctx, every) {
		held, err := renew(ctx)
		if ctx.Err() != nil {
			return
		}
		report(held, err)
	}
}
