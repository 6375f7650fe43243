// Package feed is what the change feeds of Postgres have in common: what committed row
// changes mean for the jobs that watch (Effect), where a feed begins (Start), the
// watched tables, the queue between the goroutine that reads and the caller of Next
// (CommitQueue), the keys queries of watch lists (Database), and the checks before a
// feed is opened (Check). The feeds themselves are the packages below it.
//
//	wal     logical decoding from a replication slot --.
//	                                                    >-- CommitQueue -- Next -- scheduler/changes
//	outbox  polls of the table that triggers fill   --'
package feed
