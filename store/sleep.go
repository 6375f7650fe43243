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
