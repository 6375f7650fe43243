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

// Confidence is how sure Nines is of what it says.
const Confidence = 0.95

// Nines says how much of what was checked was right, as the number of nines: 3 is 99.9 %. It is a bound that holds with
// Confidence, and not what was measured: where nothing was stale in N checks, up to 3/N may be (the rule of three).
// clean reports that nothing was stale; ok is false where nothing was checked.
func (a Audit) Nines() (nines float64, clean, ok bool) {
	if a.Checked <= 0 {
		return 0, false, false
	}
	stale := max(0, a.Stale)
	return max(0, -math.Log10(poissonUpper(stale)/float64(a.Checked))), stale == 0, true
}

// poissonUpper is the upper bound, with Confidence, of the mean of a Poisson distribution of which k was counted: half
// of the chi-squared quantile with 2k+2 degrees of freedom, by the approximation of Wilson and Hilferty (1931), which
// is right to 0.1 % from k = 1 on.
func poissonUpper(k int64) float64 {
	if k == 0 {
		return 3 // -ln(0.05) is 2.996
	}
	const z = 1.6449 // of a normal distribution, one-sided
	n := float64(k + 1)
	return n * math.Pow(1-1/(9*n)+z/(3*math.Sqrt(n)), 3)
}
