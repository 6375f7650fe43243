package feed

import (
	"context"
	"time"
)

// Slot is the state of a replication slot.
type Slot struct {
	Exists   bool
	Active   int    // process that reads from it; 0: none
	Status   string // wal_status: reserved, extended, unreserved, lost
	Lag      int64  // bytes of WAL that are kept because they are not read
	Safe     int64  // bytes that may be written before the slot is in danger; -1: no limit
	Position uint64 // up to which everything was acknowledged
	Database string
}

// Start is where a change feed begins to read.
type Start struct {
	// Place names the feed and how it was set up. What is known of one place says
	// nothing of another.
	Place string
	// Position is what the feed has been told to be done, where Postgres keeps it.
	// Higher than what we have told says that somebody else has read from it.
	Position uint64
	// Fresh says that the feed begins now: what was committed before is not in it.
	Fresh bool
	// Durable says that what the feed is not told to be done comes again, also to
	// who opens it next.
	Durable bool
	// Unsettled reports whether a transaction is still open that may have been written
	// to the log before the feed began, and that no snapshot shows yet: it waits for a
	// synchronous standby, say. It is in neither the feed nor a run of this moment.
	// nil: there is none.
	Unsettled func(ctx context.Context) (bool, error)
	// Origin is the history of Postgres that it is read from, as of a Snapshot.
	Origin string
	// Through is a time by Postgres' clock: whatever was committed before has been passed to Next. The zero time says
	// that it is not known, and so does nil.
	Through func() time.Time
	// LeftOut are jobs, by name, whose changes are not in the feed although they watch tables.
	LeftOut map[string]bool
}
