package store

import (
	"math"
	"time"
)

// Audit is what the continuous comparison of the cache with the database has
// counted for a job.
type Audit struct {
	Checked  int64     `json:"checked"`            // keys whose value was held to the database
	Stale    int64     `json:"stale"`              // of these, with another value, or with one that should be gone
	Missing  int64     `json:"missing"`            // keys that were not there though they have a row
	Repaired int64     `json:"repaired"`           // of stale and missing
	Since    time.Time `json:"since,omitzero"`     // when the first was checked
	Confirm  time.Time `json:"confirm,omitzero"`   // every key of the keyset has been looked at since; zero: not yet
	LastFind time.Time `json:"last_find,omitzero"` // when something was wrong last
}

// Nines says how much of what was checked was right, as the number of nines: 3 is
// 99.9 %. Where nothing was stale it is at least that; ok is false where nothing
// was checked.
func (a Audit) Nines() (nines float64, atLeast, ok bool) {
	if a.Checked <= 0 {
		return 0, false, false
	}
	if a.Stale <= 0 {
		return math.Log10(float64(a.Checked)), true, true
	}
	return max(0, -math.Log10(float64(a.Stale)/float64(a.Checked))), false, true
}
