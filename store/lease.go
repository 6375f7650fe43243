package store

import (
	"context"
	"time"
)

// KeepLease renews a lease every so often until ctx ends, and reports each outcome: whether the lease is
// still the caller's, or why that is not known. A Redis that does not answer gives no one the lease
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
