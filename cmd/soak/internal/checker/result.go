package checker

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"
)

// Result is what came of a check.
type Result struct {
	Findings []Finding
	Counts   map[string]int
	P50, P99 time.Duration // from a commit to its being readable, where nothing was at fault
	Lags     int
	Logs     string // of the daemons, if there are findings
}

// result sums up.
func (w *Cluster) result() Result {
	w.mishaps()
	r := Result{Counts: make(map[string]int)}
	for _, d := range w.daemons {
		d.scrape()
		for name, n := range d.metrics() {
			if n > 0 {
				r.Counts[name] += int(n)
			}
		}
	}
	w.history.mu.Lock()
	for kind, n := range w.history.commits {
		r.Counts["transactions: "+kind] = n
	}
	w.history.mu.Unlock()
	w.mu.Lock()
	defer w.mu.Unlock()
	maps.Copy(r.Counts, w.counts)
	r.Findings = w.findings
	r.P50, r.P99, r.Lags = w.history.lag()
	if len(r.Findings) > 0 {
		r.Logs = w.logs()
	}
	return r
}

// mishaps finds daemons that ended by themselves, and races in those that were
// built to tell.
func (w *Cluster) mishaps() {
	for _, d := range w.daemons {
		b, err := os.ReadFile(d.log)
		if err != nil {
			w.find("I7", "daemon %d has no log: %v", d.n, err)
		}
		log := string(b)
		for _, sign := range []string{"WARNING: DATA RACE", "panic: ", "fatal error: "} {
			if _, after, is := strings.Cut(log, sign); is {
				w.find("I7", "daemon %d: %s%.3000s", d.n, sign, after)
			}
		}
		if i := strings.Index("\n"+log, "\nstoker: "); i >= 0 { // its last words
			w.find("I7", "daemon %d ended by itself: %.500s", d.n, log[i:])
		} else if d.proc.ended() {
			w.find("I7", "daemon %d ended without a word", d.n)
		}
		w.count("times that a daemon began to follow", strings.Count(log, "changes are followed"))
	}
}

// String prints the counts, one a line.
func (r Result) String() string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(r.Counts)) {
		fmt.Fprintf(&b, "%9d %s\n", r.Counts[name], name)
	}
	if r.Lags > 0 {
		fmt.Fprintf(&b, "from a commit to its being readable, while nothing was at fault: p50 %s, p99 %s of %d\n",
			r.P50.Round(100*time.Microsecond), r.P99.Round(100*time.Microsecond), r.Lags)
	}
	return b.String()
}
