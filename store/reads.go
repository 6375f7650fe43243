package store

import (
	"math"
	"time"
)

// Lookups are what Stoker's processes themselves have looked up in the servers of the cache.
type Lookups struct {
	Hits, Misses int64
	// Blind is when a process could last not see what its scripts look up; zero: each can.
	Blind time.Time
}

// Reads are what the readers of the cache have looked up, of all keys of its servers: what the servers count, less
// Stoker's own lookups. Each is of a moment; what was not looked at, as when a server began again, is left out.
type Reads struct {
	Since  time.Time `json:"since,omitzero"` // when the count began
	At     time.Time `json:"at,omitzero"`    // the last look
	Hits   int64     `json:"hits"`
	Misses int64     `json:"misses"`
	// OwnHits and OwnMisses are Stoker's, which are not in Hits and Misses.
	OwnHits   int64 `json:"own_hits"`
	OwnMisses int64 `json:"own_misses"`
	// Unknown says why nobody can tell; empty: it is known.
	Unknown string `json:"unknown,omitempty"`
	// Minutes and Hours are the past, oldest first; the last one is not over.
	Minutes []ReadsAt `json:"minutes,omitempty"`
	Hours   []ReadsAt `json:"hours,omitempty"`
}

// ReadsAt are the reads that were counted in a minute or an hour.
type ReadsAt struct {
	Begin  time.Time `json:"begin"`
	Hits   int64     `json:"hits"`
	Misses int64     `json:"misses"`
}

// Kept of the past.
const (
	KeptMinutes = 120
	KeptHours   = 7 * 24
)

// Count adds reads that were counted at a time.
func (r *Reads) Count(at time.Time, hits, misses int64) {
	r.Hits, r.Misses = r.Hits+hits, r.Misses+misses
	r.Minutes = counted(r.Minutes, at.UTC().Truncate(time.Minute), hits, misses, KeptMinutes)
	r.Hours = counted(r.Hours, at.UTC().Truncate(time.Hour), hits, misses, KeptHours)
}

func counted(list []ReadsAt, begin time.Time, hits, misses int64, most int) []ReadsAt {
	if len(list) == 0 || list[len(list)-1].Begin.Before(begin) {
		list = append(list, ReadsAt{Begin: begin})
	}
	last := &list[len(list)-1]
	last.Hits, last.Misses = last.Hits+hits, last.Misses+misses
	return list[max(0, len(list)-most):]
}

// Last adds up what was counted in the minutes of a time until At, two hours at most.
func (r *Reads) Last(d time.Duration) (hits, misses int64) {
	from := r.At.Add(-d)
	for _, m := range r.Minutes {
		if !m.Begin.Before(from.UTC().Truncate(time.Minute)) {
			hits, misses = hits+m.Hits, misses+m.Misses
		}
	}
	return hits, misses
}

// HitRatio is the share of reads that found their key, and the least that it is with Confidence, where the reads are
// taken for a sample: 1-3/N if none missed (the rule of three). Both are 0 of no reads.
func HitRatio(hits, misses int64) (ratio, least float64) {
	n := float64(hits + misses)
	if n <= 0 {
		return 0, 0
	}
	return float64(hits) / n, math.Max(0, 1-poissonUpper(max(0, misses))/n)
}
