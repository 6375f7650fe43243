// Package lookups counts what Stoker's own commands add to keyspace_hits and keyspace_misses of a Redis. Less that, the
// two are what the readers have asked.
//
//	command ──► hook ──► Redis     a plain read is counted by its answer
//	             │                 a script of the write protocol says itself what it has looked up (Counter.Add)
//	             │                 any other script: some each second, between two INFO in one transaction
//	             ▼
//	          Counter ──every second──► a hash in Redis, for all processes ──► who compares it with INFO
//
// Redis counts a lookup for each key that a command only reads, also in a script, and none for a key that it writes:
// SET, UNLINK, PEXPIRE and HSET add nothing (lookupKeyRead and lookupKeyWrite in its db.c).
package lookups
