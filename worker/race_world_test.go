package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/cache"
	"github.com/stokerhq/stoker/store/postgres"
	"github.com/stokerhq/stoker/store/storetest"
)

const (
	raceRows  = 400 // a few batches
	raceEvery = 10  // each so many rows one that changes
	raceGrace = 200 * time.Millisecond
	raceSlack = 50 * time.Millisecond // between our clock and that of Redis

	raceWant = "SELECT 'k:' || id, row_to_json(q)::text FROM (SELECT id, v FROM item) q"
	flagWant = "SELECT 'f:' || id, (v % 2)::text FROM item"
)

// race is a world in which everything happens at once: two processes, writers
// that say what they have changed, readers that know what they may read.
type race struct {
	t     *testing.T
	r     *rig
	procs []*Worker
	ends  []func()
	rows  []*raceRow
	ver   atomic.Int64 // of the last change, also of one that deletes
	cut   atomic.Bool  // runs end half way
	said  logs         // what was wrong

	mu sync.Mutex
	n  map[string]int64
}

// breakage puts a broken cache around the real one.
type breakage = func(w *race, direct *cache.Cache, c Cache) Cache

func newRace(t *testing.T, broken breakage) *race {
	url := storetest.Redis(t)
	w := &race{t: t, n: map[string]int64{"flushes": 0, "lost books": 0, "complete runs": 0, "superseded runs": 0,
		"restarts": 0, "old": 0, "kept": 0, "refusals": 0, "rollbacks": 0, "deletions": 0, "lost refreshes": 0,
		"reads": 0}}
	w.r = newRig(t, plan{redis: url, sql: []string{
		"CREATE TABLE item (id int PRIMARY KEY, v bigint)",
		fmt.Sprintf("INSERT INTO item SELECT i, 0 FROM generate_series(0, %d) i", raceRows-1),
	}})
	for range raceRows / raceEvery {
		w.rows = append(w.rows, &raceRow{})
	}
	for _, grace := range []time.Duration{0, raceGrace} {
		w.start(url, grace, broken)
	}
	return w
}

// start begins a process.
func (w *race) start(url string, grace time.Duration, broken breakage) {
	race := newJob("race", jobs.ValueRow, "k:{id}", "SELECT id, v FROM item ORDER BY id")
	race.StaleGrace = grace
	flag := newJob("flag", jobs.ValueScalar, "f:{id}", "SELECT id, v % 2 AS flag FROM item ORDER BY id")
	source, err := postgres.Open(jobs.Postgres{URL: jobs.NewSecret(w.r.pg), MaxConnections: 6,
		StatementTimeout: time.Minute})
	if err != nil {
		w.t.Fatal(err)
	}
	direct := cache.New(client(w.t, url), time.Minute)
	var c Cache = direct
	if broken != nil {
		c = broken(w, direct, c)
	}
	spec := &jobs.Spec{File: "stoker.yaml", Jobs: []*jobs.Job{race, flag}}
	proc := &rig{spec: spec, ledger: w.r.ledger}
	w.procs = append(w.procs, proc.newWorker(slowSource{source, w}, direct, slowCache{c}, newMetrics(),
		slog.New(slog.DiscardHandler)))
	w.ends = append(w.ends, source.Close)
}

// connect returns a connection of a writer.
func (w *race) connect() *pgx.Conn {
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, w.r.pg)
	if err != nil {
		w.t.Fatal(err)
	}
	w.ends = append(w.ends, func() { conn.Close(ctx) })
	return conn
}

func (w *race) close() {
	for _, end := range w.ends {
		end()
	}
}

// say tells what is wrong; nothing is nothing.
func (w *race) say(wrong string) {
	if wrong != "" && len(w.said.String()) < 2000 {
		fmt.Fprintln(&w.said, wrong)
	}
}

func (w *race) add(what string, n int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.n[what] += n
}

func (w *race) count(what string, yes bool) {
	if yes {
		w.add(what, 1)
	}
}

func (w *race) counted() map[string]int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.n)
}

// missing is something that has not happened yet; "" if all has. Values are kept only between two runs of one job that
// nothing came between, which a slow machine may not have.
func (w *race) missing() string {
	for name, n := range w.counted() {
		if n == 0 && name != "kept" {
			return name
		}
	}
	return ""
}

func (w *race) counts() string { return fmt.Sprint(w.counted()) }

// slowSource is a Source whose runs are slow now and then: between the snapshot
// and the first row, and between rows.
type slowSource struct {
	*postgres.Source
	w *race
}

var errCutShort = errors.New("cut short")

func (s slowSource) Run(ctx context.Context, job *jobs.Job, fn func(*store.Reading) error) error {
	return s.Source.Run(ctx, job, func(r *store.Reading) error {
		slow, rows, n := !s.w.cut.Load() && rand.IntN(3) == 0, r.Rows, 0
		if slow {
			time.Sleep(rand.N(150 * time.Millisecond))
		}
		r.Rows = func(yield func(store.Row, error) bool) {
			for row, err := range rows {
				if n++; slow && n%50 == 0 {
					time.Sleep(rand.N(30 * time.Millisecond))
				}
				if n > raceRows/2 && s.w.cut.Load() {
					yield(nil, errCutShort)
					return
				}
				if !yield(row, err) {
					return
				}
			}
		}
		return fn(r)
	})
}

// slowCache is a Cache whose puts are slow now and then.
type slowCache struct{ Cache }

func (c slowCache) Put(ctx context.Context, cl *cache.Claim, b *store.Batch) (cache.Outcome, error) {
	if rand.IntN(15) == 0 {
		time.Sleep(rand.N(80 * time.Millisecond))
	}
	return c.Cache.Put(ctx, cl, b)
}
