// Package past words what is known of the past of a job, its runs and its audit, for the page and the API.
package past

import (
	"fmt"
	"math"
	"time"

	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/web/wording"
)

// Audit is what the continuous comparison of the cache with the database
// says of a job.
type Audit struct {
	Checked  int64   `json:"checked"`  // keys that were compared
	Stale    int64   `json:"stale"`    // of these, with another value than the database
	Missing  int64   `json:"missing"`  // keys that were gone though they have a row
	Repaired int64   `json:"repaired"` // of stale and missing
	Nines    float64 `json:"nines"`    // how much was right, with Confidence: 3 is 99.9 %
	// nothing was stale: Nines is what so many checks can show
	AtLeast    bool      `json:"nines_at_least"`
	Confidence float64   `json:"confidence"`                         // 0.95
	Confirmed  *float64  `json:"oldest_confirmed_seconds,omitempty"` // every key has been looked at since; nil: not yet
	Since      time.Time `json:"since,omitzero"`                     // when the first was checked
	LastFind   time.Time `json:"last_find,omitzero"`                 // when something was wrong last
}

// NewAudit words a tally; nil where nothing was audited.
func NewAudit(a store.Audit, now time.Time) *Audit {
	nines, atLeast, ok := a.Nines()
	if !ok && a.Confirm.IsZero() && a.Missing == 0 {
		return nil
	}
	st := &Audit{Checked: a.Checked, Stale: a.Stale, Missing: a.Missing, Repaired: a.Repaired, Nines: nines,
		AtLeast: atLeast, Confidence: store.Confidence, Since: a.Since, LastFind: a.LastFind}
	if !a.Confirm.IsZero() {
		st.Confirmed = new(max(0, now.Sub(a.Confirm).Seconds()))
	}
	return st
}

// NinesText is how much was right, as a person reads it.
func (a Audit) NinesText() string {
	switch {
	case a.Checked == 0:
		return "no value compared"
	}
	return fmt.Sprintf("%.1f nines at %.0f %%", down(a.Nines), store.Confidence*100)
}

// down rounds to one place, never to more than was shown.
func down(nines float64) float64 { return math.Floor(nines*10+1e-9) / 10 }

// ConfirmedText says since when every key has been looked at.
func (a Audit) ConfirmedText() string {
	if a.Confirmed == nil {
		return "not every key yet"
	}
	return "every key within " + wording.Roughly(time.Duration(*a.Confirmed*float64(time.Second)))
}

// Details is the whole of it, in one line.
func (a Audit) Details() string {
	text := fmt.Sprintf("%s checked, %s stale, %s missing, %s repaired", wording.Quantity(a.Checked, "key", "keys"),
		wording.Count(a.Stale), wording.Count(a.Missing), wording.Count(a.Repaired))
	if !a.Since.IsZero() {
		text += ", since " + wording.UTC(a.Since)
	}
	return text
}

// Bad reports whether something was wrong lately, within a day.
func (a Audit) Bad(now time.Time) bool {
	return !a.LastFind.IsZero() && now.Sub(a.LastFind) < 24*time.Hour
}
