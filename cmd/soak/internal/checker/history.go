package checker

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// row is a row that writers change. A version is a positive number that is used
// once; what is to be rolled back has a negative one.
type row struct {
	table string
	id    int
	held  sync.Mutex // by who changes it, until the end of the transaction

	mu      sync.Mutex
	pending []moment // commits that no reader has seen yet
	fences  []moment // invalidations that were answered
	floor   int64    // no older version may be read
}

// moment is when a version was acknowledged.
type moment struct {
	ver int64
	at  time.Time
}

func (r *row) name() string { return fmt.Sprintf("%s/%d", r.table, r.id) }

// history is what writers know.
type history struct {
	rows map[string][]*row // :: table -> by id
	ver  atomic.Int64

	mu       sync.Mutex
	versions map[int64]string // :: version that may have been committed -> name of its row
	lags     []time.Duration
	commits  map[string]int // :: kind of transaction -> how many
}

// sizes are how many rows the tables have.
var sizes = map[string]int{"supplier": 5, "item": 60, "account": 12, "member": 15, "flag": 8}

// orgs are keys of several rows: accounts stay in theirs, members move.
const (
	orgs        = 3
	bankSum     = 400 // of an org's balances, always
	accountsPer = 4
)

func newHistory() *history {
	h := &history{rows: make(map[string][]*row), versions: make(map[int64]string), commits: make(map[string]int)}
	for _, table := range slices.Sorted(maps.Keys(sizes)) {
		for id := range sizes[table] {
			h.rows[table] = append(h.rows[table], &row{table: table, id: id + 1})
		}
	}
	return h
}

// next is a version of a row that may be committed.
func (h *history) next(r *row) int64 {
	ver := h.ver.Add(1)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.versions[ver] = r.name()
	return ver
}

// committed notes that a commit was acknowledged just now.
func (h *history) committed(kind string, changes []change) {
	h.mu.Lock()
	h.commits[kind]++
	h.mu.Unlock()
	now := time.Now()
	for _, c := range changes {
		c.row.mu.Lock()
		if c.gone {
			c.row.pending = nil
		} else {
			c.row.pending = append(c.row.pending, moment{c.ver, now})
		}
		c.row.mu.Unlock()
	}
}

// fenced notes that an invalidation was answered, after a version was committed.
func (r *row) fenced(ver int64, at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fences = append(r.fences, moment{ver, at})
}

// allowed is the oldest version that a read which begins now may show.
func (r *row) allowed(now time.Time, grace time.Duration) int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fences = slices.DeleteFunc(r.fences, func(f moment) bool {
		due := now.Sub(f.at) > grace
		if due {
			r.floor = max(r.floor, f.ver)
		}
		return due
	})
	return r.floor
}

// saw takes the commits that are readable now, and returns how long they took, and
// how long the oldest that is not has been waiting since.
func (r *row) saw(ver int64, now, since time.Time) (lags []time.Duration, waits time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pending = slices.DeleteFunc(r.pending, func(p moment) bool {
		if p.ver > ver {
			return false
		}
		if p.at.After(since) {
			lags = append(lags, now.Sub(p.at))
		}
		return true
	})
	for _, p := range r.pending {
		if p.at.Before(since) {
			p.at = since
		}
		waits = max(waits, now.Sub(p.at))
	}
	return lags, waits
}

// lag returns what was measured of the time from a commit to its being readable.
func (h *history) lag() (p50, p99 time.Duration, n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.lags) == 0 {
		return 0, 0, 0
	}
	slices.Sort(h.lags)
	return h.lags[len(h.lags)/2], h.lags[len(h.lags)*99/100], len(h.lags)
}
