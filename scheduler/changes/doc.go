// Package changes keeps keys fresh while the database changes. One replica follows the
// change feed; the others stand by for its lease.
//
// The way of one committed change, from left to right:
//
//		feed ──> stream ──> jobFencer ──> refresher ──> cache         (this process)
//		         barrier    one a job     pendingKeys
//		                       │              │ too many keys
//		                       └──────────────┴──> dispatcher ──> Asynq ──> a worker runs the job
//
//	  - stream reads the feed. A commit waits there until a snapshot of the primary shows it
//	    (the visibility barrier): a value read earlier would be old, and be taken for new.
//	  - jobFencer finds the keys of one job that a change reaches and fences them: from then on
//	    nothing read before is written to them. Each job has its own goroutine, so that a locked
//	    table holds up its own job alone.
//	  - refresher loads the fenced keys, a bounded number of batches at a time for all jobs. A key
//	    that changes while it is being loaded is loaded once more afterwards. What fails is tried
//	    again, oldest change first, for as long as it takes.
//	  - dispatcher enqueues runs for changes that name no keys (TRUNCATE, tables without a key) or
//	    too many. Runs are Asynq tasks: any worker takes them, and a killed worker's are rescued.
//
// Each batch of the feed has a round number. stream acknowledges a position to the feed once no
// fencer, refresher or dispatcher has anything left of that round or an earlier one. A key that
// has failed retriesHeld times no longer holds the position back: it is fenced, so its old value
// is not served for longer than the grace, and a broken query must not make Postgres keep WAL.
//
// Fencers live as long as the feed is open. The refresher and the dispatcher outlive it: what is
// fenced must be loaded, whoever follows by then. Fences order the writes of two processes.
package changes
