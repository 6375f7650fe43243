package report

import (
	"slices"
	"time"
)

// Lag is how long commits took to show, from when they were acknowledged.
type Lag struct {
	While   string  `json:"while"`
	By      string  `json:"by"` // whom they showed by
	Commits int     `json:"commits"`
	Lost    int     `json:"lost"` // that did not show as long as was waited; they count as that long
	P50     Seconds `json:"p50_s"`
	P90     Seconds `json:"p90_s"`
	P99     Seconds `json:"p99_s"`
	Max     Seconds `json:"max_s"`
}

// What commits are made while, and what shows them.
const (
	WhileAlone  = "one at a time"
	WhilePaced  = "200 a second"
	WhileLoaded = "beside the writer"

	ByWAL    = "GET, source: wal"
	ByOutbox = "GET, source: outbox"
	ByRecv   = "pg_recvlogical"
)

// NewLag sums up lags; it sorts them. What showed before its commit was
// acknowledged took no time at all.
func NewLag(while, by string, lost int, took []time.Duration) Lag {
	slices.Sort(took)
	at := func(share float64) Seconds { return In(max(0, Percentile(took, share))) }
	return Lag{While: while, By: by, Commits: len(took), Lost: lost, P50: at(0.50), P90: at(0.90), P99: at(0.99),
		Max: at(1)}
}

// Load is a writer that was followed for long, at a rate it was held to.
type Load struct {
	Wanted float64 `json:"wanted_rows_per_s"`
	Made   float64 `json:"made_rows_per_s"` // fewer where the machine bore no more
	For    Seconds `json:"for_s"`

	// Median lags in the first and in the last sixth: who falls behind is later.
	First Seconds `json:"first_lag_s"`
	Last  Seconds `json:"last_lag_s"`

	// When the writer stopped: the log that was not sent, and not acknowledged.
	Unsent  int64 `json:"unsent_bytes"`
	Unacked int64 `json:"unacknowledged_bytes"`

	Keys  int64   `json:"keys"` // that were compared with Postgres
	Wrong int64   `json:"wrong_keys"`
	Right Seconds `json:"right_s"` // from the writer's stop until none was wrong

	// What the daemon counted.
	Changed   int64   `json:"changed_rows"`
	Fenced    int64   `json:"fenced_keys"`
	Refreshed int64   `json:"refreshed_keys"`
	Runs      int64   `json:"runs"` // of the job, because too many keys had changed at once
	CPU       Seconds `json:"cpu_daemon_s"`
}

// Writer is one turn of a writer at full speed.
type Writer struct {
	Round  int     `json:"round"`
	Beside string  `json:"beside"`
	Rows   float64 `json:"rows_per_s"`
}

// What the writer is measured beside.
const (
	BesideNothing  = "nothing"
	BesideWAL      = "a daemon, source: wal"
	BesideTriggers = "triggers of the outbox, no daemon"
	BesideOutbox   = "a daemon, source: outbox"
)

// Besides is every such state, in the order of a round.
var Besides = []string{BesideNothing, BesideWAL, BesideTriggers, BesideOutbox}

// lag finds what was measured; zero if it was not.
func (r *Report) lag(while, by string) Lag {
	for _, l := range r.Lags {
		if l.While == while && l.By == by {
			return l
		}
	}
	return Lag{}
}

// writers are the speeds of all turns beside something.
func (r *Report) writers(beside string) []float64 {
	var all []float64
	for _, w := range r.Writers {
		if w.Beside == beside {
			all = append(all, w.Rows)
		}
	}
	return all
}
