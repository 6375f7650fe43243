package checker

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// Between our clock and that of Redis, and between a read and its answer.
const slack = 300 * time.Millisecond

// How long a commit may take to be readable: while nothing has been at fault, and
// after the last fault.
const (
	staleLimit = 5 * time.Second
	healLimit  = 20 * time.Second
)

// reader gets every key again and again, as API nodes do, and holds what it reads
// to what was committed and to what it has read before.
type reader struct {
	w     *Cluster
	keys  []string
	epoch string
	last  map[string]string // :: key -> value
	seen  map[string]int64  // :: key and row -> newest version in this epoch
	items map[string]int64  // :: key of an item -> version it shows
}

func newReader(w *Cluster) *reader {
	r := &reader{w: w, last: make(map[string]string), seen: make(map[string]int64), items: make(map[string]int64)}
	for _, j := range w.o.jobs() {
		r.keys = append(r.keys, j.keys()...)
	}
	return r
}

const epochKey = "stoker:epoch:postgres"

// read gets all keys once.
func (r *reader) read(ctx context.Context) {
	began := time.Now()
	floors := r.floors(began)
	var before, after *redis.StringCmd
	var got *redis.SliceCmd
	_, err := r.w.cache.Pipelined(ctx, func(p redis.Pipeliner) error {
		before = p.HGet(ctx, epochKey, "epoch")
		got = p.MGet(ctx, r.keys...)
		after = p.HGet(ctx, epochKey, "epoch")
		return nil
	})
	if err != nil && err != redis.Nil {
		r.w.count("reads that failed", 1)
		return
	}
	r.w.count("reads", 1)
	if epoch := before.Val(); epoch != r.epoch || epoch != after.Val() {
		r.epoch = epoch
		clear(r.seen)
		r.w.count("epochs seen", 1)
	}
	now := time.Now()
	for i, value := range got.Val() {
		text, there := value.(string)
		if !there {
			r.w.count("misses", 1)
			delete(r.last, r.keys[i])
			continue
		}
		if floor := floors[r.keys[i]]; r.last[r.keys[i]] != text || floor > 0 {
			r.check(r.keys[i], text, floor)
		}
		r.last[r.keys[i]] = text
		r.lag(r.keys[i], now)
	}
}

// floors are the oldest versions of items that a read may show that begins now.
func (r *reader) floors(now time.Time) map[string]int64 {
	floors := make(map[string]int64)
	for _, row := range r.w.history.rows["item"] {
		if floor := row.allowed(now, r.w.o.Grace+slack); floor > 0 {
			floors[fmt.Sprint("item:", row.id)] = floor
		}
	}
	return floors
}

// shown is a row as a value shows it.
type shown struct {
	ID, Balance, V int64
	SID            int64 // of the row that is joined
	SV             int64
}

// check holds a value to everything that is known of its key.
func (r *reader) check(key, text string, floor int64) {
	job, _, _ := strings.Cut(key, ":")
	rows, err := parse(job, text)
	if err != nil {
		r.w.find("I4", "%s is no JSON of a query: %.100s", key, text)
		return
	}
	sum := int64(0)
	for _, row := range rows {
		r.version(key, text, tableOf[job], row.ID, row.V)
		if job == "item" {
			r.items[key] = row.V
		}
		if job == "tag" {
			r.version(key, text, "supplier", row.SID, row.SV)
		}
		if row.V < floor {
			r.w.find("I3", "%s is %s, longer than the grace after the fence of version %d", key, text, floor)
		}
		sum += row.Balance
	}
	if job == "bank" && (sum != bankSum || len(rows) != accountsPer) {
		r.w.find("I5", "%s is torn: the balances are %d, not %d: %s", key, sum, bankSum, text)
	}
}

// tableOf is where the versions of a job's rows come from; of total, from many.
var tableOf = map[string]string{"item": "item", "tag": "item", "bank": "account", "team": "member", "flag": "flag"}

func parse(job, text string) (rows []shown, err error) {
	switch {
	case job == "total":
		sum, err := strconv.ParseInt(text, 10, 64)
		return []shown{{V: sum}}, err
	case strings.HasPrefix(text, "["):
		err = json.Unmarshal([]byte(text), &rows)
	default:
		rows = make([]shown, 1)
		err = json.Unmarshal([]byte(text), &rows[0])
	}
	return rows, err
}

// version holds one version to those that were committed, and to what was read of
// the row under this key before.
func (r *reader) version(key, text, table string, id, ver int64) {
	h, name := r.w.history, fmt.Sprintf("%s/%d", table, id)
	switch of := h.of(ver); {
	case ver < 0:
		r.w.find("I4", "%s shows what was rolled back: %s", key, text)
	case table != "" && ver != 0 && of != name:
		r.w.find("I4", "%s shows version %d of %s, which nobody has written: %s", key, ver, name, text)
	}
	at := key + " " + name
	if seen := r.seen[at]; ver < seen {
		r.w.find("I2", "%s went back from version %d: %s", key, seen, text)
	}
	r.seen[at] = max(r.seen[at], ver)
}

// of returns the row that a version was made for.
func (h *history) of(ver int64) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.versions[ver]
}

// lag notes how long commits of an item took to be readable, and finds those that
// take too long while nothing is at fault.
func (r *reader) lag(key string, now time.Time) {
	text, is := strings.CutPrefix(key, "item:")
	since, calm := r.w.calmSince()
	if !is || !calm {
		return
	}
	id, err := strconv.Atoi(text)
	if err != nil {
		panic(err) // keys are ours
	}
	row := r.w.history.rows["item"][id-1]
	lags, waits := row.saw(r.items[key], now, since)
	limit := healLimit
	if r.w.undisturbed() {
		limit = staleLimit
		r.w.history.measured(lags)
	}
	if r.w.o.Source != "none" && waits > limit {
		r.w.find("I6", "%s was committed %s ago and shows %s", key, waits.Round(time.Millisecond), r.last[key])
	}
}

func (h *history) measured(lags []time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lags = append(h.lags, lags...)
}
