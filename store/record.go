package store

import "time"

// State says how a run ended.
type State string

// The states of a Record.
const (
	StateOK          State = "ok"          // every key of the result is in Redis
	StateFailed      State = "failed"      // it stopped at Row, for the reason in Error
	StateInterrupted State = "interrupted" // the worker was stopped; the task went back to the queue
	StateSuperseded  State = "superseded"  // a newer run of the job took over
)

// Record is what is kept of one run, the last 200 a job.
type Record struct {
	ID  string `json:"id"` // of the Asynq task, or a random one for a local run
	Job string `json:"job"`
	// jobs.Job.Definition of what was run; empty in records of older versions
	Definition string    `json:"definition,omitempty"`
	Cause      string    `json:"cause"` // jobs.Cause: tick, catch-up, command, api, local
	State      State     `json:"state"`
	Due        time.Time `json:"due,omitzero"` // zero when no schedule asked for the run
	Start      time.Time `json:"start"`
	End        time.Time `json:"end"`
	Rows       int64     `json:"rows"`           // read from Postgres
	Keys       int64     `json:"keys"`           // of the result that were seen to
	Bytes      int64     `json:"bytes"`          // of these keys and their values
	Kept       int64     `json:"kept,omitempty"` // keys whose value was in Redis already: it was not sent
	Sent       int64     `json:"sent,omitempty"` // bytes of the keys and values that were sent
	Old        int64     `json:"old,omitempty"`  // keys left alone, because what a refresh wrote is newer
	// keys removed: no longer in the result, or because that was asked
	Removed int64 `json:"removed,omitempty"`
	// keys no longer in the result, and kept: it shrank by more than shrink_guard
	Held     int64 `json:"held,omitempty"`
	NullKeys int64 `json:"null_keys,omitempty"` // rows skipped: NULL in a key column
	// rows skipped: their key is empty, or begins as keys of ours do
	BadKeys   int64 `json:"bad_keys,omitempty"`
	Oversized int64 `json:"oversized,omitempty"` // keys not written: over max_value_bytes
	// rows skipped: another row of the job, which has one row a key, had their key before
	Duplicates int64 `json:"duplicate_keys,omitempty"`
	// keys of a rows job removed: their rows did not follow one another
	Returned int64         `json:"returned_keys,omitempty"`
	Database time.Duration `json:"database_ns"`        // how long the run held its snapshot
	Snapshot string        `json:"snapshot,omitempty"` // pg_current_snapshot() of the run
	Epoch    uint32        `json:"epoch,omitempty"`    // of its stamp
	Restarts int           `json:"restarts,omitempty"` // how often it began again with a new snapshot
	// nothing was committed since the last run: the query was not run
	Unchanged bool `json:"unchanged,omitempty"`
	Removal   bool `json:"removal,omitempty"` // the keyset was removed, not written
	// of a run that found no key: the relations of which row-level security hides rows from Stoker's role
	Filtered []string `json:"filtered_by,omitempty"`
	Error    string   `json:"error,omitempty"`
	Warning  string   `json:"warning,omitempty"` // the first key that was not written, by name, and why
}

// keyCost is what a key takes of Redis' memory besides itself and its value, in bytes.
const keyCost = 100

// Footprint is about how many bytes of Redis' memory keys take that are, with their values, so many bytes long.
func Footprint(keys, bytes int64) int64 { return bytes + keyCost*keys }

// Missing is about how many of these bytes are gone, where present keys of a sample are still there.
func (r Record) Missing(present, sampled int) int64 {
	if sampled == 0 {
		return 0
	}
	return Footprint(r.Keys, r.Bytes) * int64(sampled-present) / int64(sampled)
}

// RunResult is what a run task leaves behind for who waits for it.
type RunResult struct {
	Record  Record `json:"record"`
	Skipped string `json:"skipped,omitempty"` // why nothing was run
}

// Progress is what a run says of itself while it goes on.
type Progress struct {
	ID    string    `json:"id"`
	Job   string    `json:"job"`
	Start time.Time `json:"start"`
	Rows  int64     `json:"rows"`
	Keys  int64     `json:"keys"`
	Bytes int64     `json:"bytes"`
	// rows of the last complete run or the planner's guess; 0 when unknown
	Expected int64 `json:"expected,omitempty"`
	// why the run does not go on now
	Waiting string `json:"waiting,omitempty"`
}

// RefreshReport is what the change feed did to keys of a job since its last report.
type RefreshReport struct {
	Refreshes int       // that succeeded
	Keys      int       // loaded by them
	Error     string    // of the last refresh that failed; "": no key waits for another try
	Pending   int       // keys that are fenced and not loaded, if Error is set
	Oldest    time.Time // when the oldest of these was fenced
}

// Pending is what the change feed could not load yet and tries again.
type Pending struct {
	Keys  int       `json:"keys"`  // that are fenced and not loaded
	Since time.Time `json:"since"` // when the oldest of them was fenced
	Error string    `json:"error"` // of the last try
}

// Tally is what the scheduler and the worker count for a job beside its runs.
type Tally struct {
	Missed        int64     `json:"missed"`  // ticks that came too late or could not be enqueued in time
	Skipped       int64     `json:"skipped"` // ticks that came while the last run was still going
	Refreshed     int64     `json:"refreshed"`
	Refreshes     int64     `json:"refreshes"`
	LastRefresh   time.Time `json:"last_refresh,omitzero"`
	RefreshError  string    `json:"refresh_error,omitempty"` // of the last failed refresh; cleared by the next good one
	RefreshFailed time.Time `json:"refresh_failed,omitzero"`
	Audit         Audit     `json:"audit,omitzero"`
}
