// Package throttle keeps runs from being the cause of a slow database. A run asks it before it opens a snapshot, and
// between rows; refreshes never do.
//
//	             share of all daemons (ledger)      lag, throttle_query (Postgres)
//	                        |  once a second                 |  ten times a second
//	                        v                                v
//	run begins -> Source.Run: waits  ->  snapshot  ->  rows: pause after each slice, and while something forbids them
//
// A run reads for a slice of time and pauses until the slice was its share of the time. Postgres pauses with it: it
// sends no more than the connection holds. While the snapshot is open, pauses end when it is MaxSnapshotAge old, for it
// keeps Postgres from cleaning up: from then on the run goes on without any.
package throttle
