// Package objective measures how often the values of a job were as fresh as its objective asks: the good time, the
// error budget that is left, and how fast it burns.
//
//	change feed ──► Freshness ──┐
//	run records ────────────────┼──► Meter ──► account in Redis ──► Read ──► status, page, API, metrics
//	sample of keys in Redis ────┘    one replica, once a second
//
// A value's age is the time since it stopped being what Postgres holds. It cannot be more than the time since the value
// was last confirmed: for a job whose changes are followed, that is the oldest COMMIT which is not shown yet, or, if
// all are, the moment up to which the feed is known to be complete; for another, when the last complete run began. So
// one moment a job is kept, and nothing is kept or asked of single values.
//
// What is known at one moment holds for a while: a job that was confirmed at c is good until c plus the age, whatever
// happens, as long as its keys are there. From then on, what is not known is not good: a feed that is down, runs that
// fail, keys that are missing, a Redis that does not answer, and time in which nobody measured count as bad. A job that
// becomes good again is so from the next look on. So good time is never counted too high, but for what happens between
// two looks at the sample of keys (warmEvery), and too low by at most one look each time that it was bad.
//
// Accounts are shared by all replicas. One replica holds the lease and counts; what it adds counts only if the account
// is as it has read it. The next one goes on where the account ends.
package objective
