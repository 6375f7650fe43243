// Package checker holds Stoker to what it promises, from outside: real Postgres,
// Redis and `stoker run` processes, writers that say what they committed, readers
// that say what they may read, and faults by a plan that a seed makes.
//
// A finding names the invariant that it breaks:
//
//	I1  when all is quiet, every key equals Postgres' own JSON, and no key is beyond
//	I2  what is read of a key never gets older, within an epoch
//	I3  nothing older than a fence is read for longer than the grace
//	I4  every value was committed: nothing rolled back, nothing invented
//	I5  every value is of one snapshot: sums that transfers keep are kept
//	I6  a commit is readable soon, where nothing is at fault
//	I7  no daemon ends by itself, or races
//	I9  the test was not blind: what it is about has happened
//	I10 a namespace that is purged leaves no key, and is purged when nothing is at fault
//
// A checker that would let a broken Stoker pass proves nothing: mutants are builds
// that are broken in one place, and each must be caught (see Mutants).
package checker
