package worker

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"

	"github.com/stokerhq/stoker/jobs"
)

// raceRow is what the test knows of a row that changes.
type raceRow struct {
	changing sync.Mutex // held by who changes it, until the commit

	mu     sync.Mutex
	floor  int64       // no older version may be read
	fences []raceFence // from when on it is the floor
	seen   int64       // the newest version that was read
	lost   time.Time   // since then a refresh is lost; zero: none
}

type raceFence struct {
	ver int64
	at  time.Time
}

func (*race) key(n int) string { return fmt.Sprint("k:", n*raceEvery) }

// change commits a change of some rows, or rolls one back, and says so, as an
// application does: the fence first, then the refresh, which may get lost.
func (w *race) change(conn *pgx.Conn) {
	time.Sleep(rand.N(8 * time.Millisecond))
	rows := make([]int, 1+rand.IntN(3))
	for i := range rows {
		rows[i] = rand.IntN(len(w.rows))
	}
	slices.Sort(rows)
	rows = slices.Compact(rows)
	ver, committed := w.commit(conn, rows)
	if !committed {
		return
	}
	p, ctx := w.procs[rand.IntN(len(w.procs))], context.Background()
	job := p.defs.Now().Jobs[0]
	var keys []jobs.Key
	for _, n := range rows {
		keys = append(keys, jobs.Key{"id": fmt.Sprint(n * raceEvery)})
	}
	if err := p.Fence(ctx, job, keys); err != nil {
		w.t.Errorf("fence: %v", err)
	}
	fenced, lost := time.Now(), rand.IntN(6) == 0
	for _, n := range rows {
		w.rows[n].fenced(ver, fenced)
	}
	if !lost {
		out, err := p.Refresh(ctx, "race", jobs.Invalidation{Job: job.Name, Keys: keys})
		w.add("refusals", int64(out.Refusals))
		lost = err != nil
	}
	w.count("lost refreshes", lost)
	for _, n := range rows {
		w.rows[n].refreshed(fenced, lost)
	}
}

// commit changes, deletes or inserts the rows in one transaction; or rolls back
// what must never be seen.
func (w *race) commit(conn *pgx.Conn, rows []int) (ver int64, committed bool) {
	ids := make([]int, len(rows))
	for i, n := range rows {
		ids[i] = n * raceEvery
		w.rows[n].changing.Lock()
		defer w.rows[n].changing.Unlock()
	}
	ver = w.ver.Add(2) // of one parity, so that flags change only when the test says so
	ctx := context.Background()
	tx, err := conn.Begin(ctx)
	if err != nil {
		w.t.Error(err)
		return 0, false
	}
	how := rand.IntN(10)
	switch {
	case how == 0:
		_, err = tx.Exec(ctx, "UPDATE item SET v = -1 WHERE id = ANY($1)", ids)
		time.Sleep(rand.N(5 * time.Millisecond))
		w.count("rollbacks", err == nil && tx.Rollback(ctx) == nil)
		return 0, false
	case how < 4:
		_, err = tx.Exec(ctx, "DELETE FROM item WHERE id = ANY($1)", ids)
		w.count("deletions", true)
	default:
		_, err = tx.Exec(ctx, "INSERT INTO item SELECT unnest($1::int[]), $2 ON CONFLICT (id) DO UPDATE SET v = $2",
			ids, ver)
	}
	if err == nil {
		err = tx.Commit(ctx)
	}
	if err != nil {
		w.t.Error(err)
	}
	return ver, err == nil
}

// read gets every row and holds it to what was known before.
func (w *race) read() {
	time.Sleep(4 * time.Millisecond)
	begin := time.Now()
	floors, seen := make([]int64, len(w.rows)), make([]int64, len(w.rows))
	for n, row := range w.rows {
		floors[n], seen[n] = row.known(begin)
	}
	ctx, pipe := context.Background(), w.r.redis.Pipeline()
	cmds := make([]*redis.StringCmd, len(w.rows))
	for n := range w.rows {
		cmds[n] = pipe.Get(ctx, w.key(n))
	}
	if _, err := pipe.Exec(ctx); err != nil && err != redis.Nil {
		w.t.Error(err)
	}
	for n, cmd := range cmds {
		text, err := cmd.Result()
		if err != nil {
			continue
		}
		var got struct{ V int64 }
		if err := json.Unmarshal([]byte(text), &got); err != nil {
			w.t.Error(err)
		}
		w.count("reads", true)
		switch {
		case got.V < 0:
			w.say(fmt.Sprintf("%s shows what was rolled back: %s", w.key(n), text))
		case got.V < floors[n]:
			w.say(fmt.Sprintf("%s is stale, longer than the grace after its fence: %s, want %d", w.key(n), text,
				floors[n]))
		case got.V < seen[n]:
			w.say(fmt.Sprintf("%s went back: %s after %d", w.key(n), text, seen[n]))
		}
		w.rows[n].saw(got.V)
	}
}

func (r *raceRow) fenced(ver int64, at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fences = append(r.fences, raceFence{ver, at})
}

// refreshed tells what became of the refresh after a fence; one that came through
// makes up for those that were lost before its fence.
func (r *raceRow) refreshed(fenced time.Time, lost bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case lost && fenced.After(r.lost):
		r.lost = fenced
	case !lost && fenced.After(r.lost):
		r.lost = time.Time{}
	}
}

// known is the oldest version that a read which begins now may show, and the
// newest that another has shown before.
func (r *raceRow) known(now time.Time) (floor, seen int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fences = slices.DeleteFunc(r.fences, func(f raceFence) bool {
		due := now.Sub(f.at) > raceGrace+raceSlack
		if due {
			r.floor = max(r.floor, f.ver)
		}
		return due
	})
	return r.floor, r.seen
}

func (r *raceRow) saw(ver int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen = max(r.seen, ver)
}
