package store

import (
	"fmt"
	"time"
)

// Eviction is a time in which the cache's Redis removed keys because its memory was full.
type Eviction struct {
	Since  time.Time `json:"since"`
	Last   time.Time `json:"last"`           // when keys were seen to go the last time
	Until  time.Time `json:"until,omitzero"` // zero: it goes on
	Keys   int64     `json:"keys"`           // also those that are not Stoker's
	Used   int64     `json:"used_bytes"`
	Max    int64     `json:"maxmemory_bytes"`
	Policy string    `json:"policy,omitempty"`
	Refill Refill    `json:"refill,omitempty"` // what was done when it ended
}

// Refill says what was done about keys that an eviction has taken.
type Refill string

// What can be done.
const (
	RefillNone   Refill = "none"    // no job has lost keys
	RefillBegun  Refill = "begun"   // jobs that have lost keys are run
	RefillNoRoom Refill = "no-room" // what is missing does not fit
	RefillFutile Refill = "futile"  // the last refill was evicted again
)

// String says what it is, and what to do.
func (e Eviction) String() string {
	const more = "raise maxmemory, take other keys elsewhere, or write fewer or smaller values (compress)"
	text := fmt.Sprintf("the cache's Redis has evicted %d keys", e.Keys)
	if e.Policy != "" {
		text += " by " + e.Policy
	}
	text += fmt.Sprintf(": it uses %d of %d bytes", e.Used, e.Max)
	switch e.Refill {
	case "":
		return text + "; readers miss what is gone, and writing it again would evict other keys: " + more
	case RefillBegun:
		return text + "; it has ended, and the jobs that have lost keys are run"
	case RefillNoRoom:
		return text + "; it has ended, and what is missing does not fit, so that only schedules and changes write " +
			"it: " + more
	case RefillFutile:
		return text + "; jobs were run for it before, and evicted again, so that only schedules and changes write " +
			"what is missing: " + more
	}
	return text + "; it has ended, and no job has lost keys"
}

// Wrong reports whether it is something that a person should know of now.
func (e Eviction) Wrong() bool {
	return e.Until.IsZero() || e.Refill == RefillNoRoom || e.Refill == RefillFutile
}
