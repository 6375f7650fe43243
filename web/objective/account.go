package objective

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/stokerhq/stoker/jobs"
)

// account is what was counted for the objective of a job. All times are in milliseconds since 1970, and all amounts in
// milliseconds, so that what one replica writes another reads unchanged.
type account struct {
	Age       int64  `json:"age_ms"`              // of the objective that it is of
	Begin     int64  `json:"begin"`               // it counts since then
	Until     int64  `json:"until"`               // it counts up to then
	Good      int64  `json:"good_ms"`             // of that time
	Through   int64  `json:"good_through"`        // from Until up to here it is good, whatever happens
	Confirmed int64  `json:"confirmed,omitempty"` // all values were equal to the database then; 0: not known
	Epoch     uint32 `json:"epoch,omitempty"`     // in which they were
	Reason    string `json:"reason,omitempty"`    // why it is bad; "": it is good
}

// begin begins an account.
func begin(o *jobs.Objective, now time.Time) account {
	ms := now.UnixMilli()
	return account{Age: o.Age.Milliseconds(), Begin: ms, Until: ms, Through: ms, Reason: "it was not measured yet"}
}

// parse reads an account as it is kept. One of another age counts other seconds: it is not gone on with.
func parse(text string, o *jobs.Objective) (a account, ok bool, err error) {
	if text == "" {
		return a, false, nil
	}
	if err := json.Unmarshal([]byte(text), &a); err != nil {
		return a, false, fmt.Errorf("the account of an objective: %w", err)
	}
	return a, a.Age == o.Age.Milliseconds(), nil
}

func (a account) String() string {
	b, err := json.Marshal(a)
	if err != nil {
		panic(err) // numbers and a text
	}
	return string(b)
}

// goodAt is how much of the time up to at, which is not before Until, is good.
func (a account) goodAt(at int64) int64 {
	return a.Good + min(max(a.Through, a.Until), at) - a.Until
}

// advance counts the time up to now by what was known of it before. It returns the marks that were passed, and the
// fields of those that are too old by now.
func (a *account) advance(now int64, window time.Duration) (passed []mark, old []string) {
	if now <= a.Until { // another replica's clock is ahead
		return nil, nil
	}
	for _, g := range grids(window) {
		step, keep := g.step.Milliseconds(), g.keep().Milliseconds()
		for at := max(a.Until, now-keep)/step*step + step; at <= now; at += step {
			passed = append(passed, mark{field: g.field(at), good: a.goodAt(at), total: at - a.Begin})
		}
		for at := (a.Until-keep)/step*step + step; at <= min(a.Until, now-keep); at += step {
			old = append(old, g.field(at))
		}
	}
	a.Good, a.Until = a.goodAt(now), now
	return passed, old
}

// observe takes what a look at now has found. The account must have been advanced to now.
func (a *account) observe(now int64, o observation) {
	if o.known {
		if a.Epoch < o.history || a.Epoch > o.epoch { // the cache, or Postgres, is not that of which it was said
			a.Confirmed, a.Epoch = 0, 0
		}
		if confirmed := min(o.confirmed, now); confirmed > a.Confirmed {
			a.Confirmed, a.Epoch = confirmed, max(a.Epoch, o.epoch)
		}
		a.Through = 0
		if a.Confirmed > 0 {
			a.Through = min(a.Confirmed+a.Age, o.warmUntil)
		}
	}
	a.Reason = ""
	if a.Through <= now {
		a.Through, a.Reason = now, o.reason(a, now)
	}
}

// grid is how often the sums of an account are kept, and for how long.
type grid struct{ step, span time.Duration }

// grids are fine for a short time, and coarse for a long one: with a window of 30 days some 270 marks.
func grids(window time.Duration) []grid {
	return []grid{{5 * time.Minute, 6 * time.Hour}, {time.Hour, 3 * 24 * time.Hour}, {6 * time.Hour, window}}
}

func (g grid) keep() time.Duration { return g.span + 2*g.step }

func (g grid) field(at int64) string {
	return strconv.Itoa(int(g.step/time.Minute)) + "m:" + strconv.FormatInt(at/1000, 10)
}

// back is the last mark that is at least d back from now, and its field.
func back(now int64, d, window time.Duration) (at int64, field string) {
	all := grids(window)
	g := all[len(all)-1]
	for _, finer := range all {
		if d <= finer.span {
			g = finer
			break
		}
	}
	step := g.step.Milliseconds()
	at = (now - d.Milliseconds()) / step * step
	return at, g.field(at)
}

// mark is the sums of an account at one time.
type mark struct {
	field       string
	good, total int64
}

func (m mark) String() string {
	return strconv.FormatInt(m.good, 10) + " " + strconv.FormatInt(m.total, 10)
}

// sums reads a mark. One that is not there is of a time in which nothing was counted yet.
func sums(text string) (good, total int64, err error) {
	if text == "" {
		return 0, 0, nil
	}
	g, t, _ := strings.Cut(text, " ")
	if good, err = strconv.ParseInt(g, 10, 64); err == nil {
		total, err = strconv.ParseInt(t, 10, 64)
	}
	if err != nil {
		return 0, 0, fmt.Errorf("a mark of the account of an objective: %w", err)
	}
	return good, total, nil
}
