// Package changes follows what the database commits: it reads a change feed, waits
// until a snapshot shows what was committed, fences the keys that are out of date,
// and hands them out as refresh tasks, or the whole job as a run. One replica
// follows; the others stand by.
package changes

import (
	"context"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
)

// Feed yields what is committed to the watched tables. store/postgres has two: the
// write-ahead log, and an outbox table that triggers fill.
type Feed interface {
	// Next waits for commits and returns those since the last call, in their
	// order. It is not an error that ctx has ended: then there are none.
	Next(ctx context.Context) ([]*jobs.Commits, error)
	// Done says that all commits up to a position have been seen to, for good: the
	// feed need not yield them again.
	Done(ctx context.Context, position uint64) error
	// Close ends the feed.
	Close() error
}

// Open opens a feed. It is called again after every error.
type Open func(ctx context.Context) (Feed, store.FeedStart, error)
