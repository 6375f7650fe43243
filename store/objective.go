package store

import "time"

// Freshness is what the follower of the change feed says of the jobs whose changes it follows.
type Freshness struct {
	// Epoch is the one in which it was said. What is said holds for a job whose last complete run is of that epoch.
	Epoch uint32 `json:"epoch"`
	// Shown is, for each job, a time by Postgres' clock: whatever was committed before shows in its values.
	Shown map[string]time.Time `json:"shown"`
}

// LastRuns are the records that say how old a job's values are.
type LastRuns struct {
	Complete Record // the last one that wrote every row
	Has      bool   // there is such a record
	Failed   bool   // the last run of all has failed
}

// BudgetChange is what a replica adds to the account of an objective. It counts only if nobody else has changed that
// since it was read.
type BudgetChange struct {
	Before string            // the state as it was read; "": there was none
	After  string            // the state from now on
	Set    map[string]string // what else is kept beside the state
	Drop   []string          // what of that is not needed any more
	Keep   time.Duration     // how long all of it outlives the last change
}
