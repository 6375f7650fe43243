// Package budget has what runs may ask of the database.
package budget

import (
	"errors"
	"math"
	"strconv"
	"strings"
	"time"
)

// Budget bounds what runs ask of the database. Refreshes are never held by it.
type Budget struct {
	// Share of the time of one connection that all runs of all daemons take together: 0.25 is a quarter. 0: no limit.
	Share float64
	// MaxLag is how far a physical standby may be behind before runs wait; 0: nobody looks.
	MaxLag time.Duration
	// Query says by its first value whether runs wait: false, 0, an empty text, NULL and no row let them go on.
	// "": none.
	Query string
	// MaxSnapshotAge bounds how long a run waits while its snapshot is open: that keeps Postgres from cleaning up.
	MaxSnapshotAge time.Duration
}

// DefaultMaxSnapshotAge is that of a spec that does not say.
const DefaultMaxSnapshotAge = 5 * time.Minute

// Watches reports whether the database is asked while runs go on.
func (b Budget) Watches() bool { return b.MaxLag > 0 || b.Query != "" }

// ParseShare reads "25%" as 0.25, and "none" as 0.
func ParseShare(text string) (float64, error) {
	if text == "none" {
		return 0, nil
	}
	number, percent := strings.CutSuffix(text, "%")
	v, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	switch {
	case err != nil || !percent:
		return 0, errors.New("is not a percentage")
	case !(v >= 1 && v <= 100): // so that NaN is refused too
		return 0, errors.New("is outside 1% to 100%")
	}
	return math.Round(v*1e10) / 1e12, nil
}

// ShareText is what ParseShare reads.
func ShareText(share float64) string {
	if share == 0 {
		return "none"
	}
	return strconv.FormatFloat(math.Round(share*1e12)/1e10, 'f', -1, 64) + "%"
}
