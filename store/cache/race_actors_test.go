package cache_test

import (
	"errors"
	"math/rand/v2"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/cache"
)

// raceKey names a row's key.
func raceKey(row int) string { return "row:" + strconv.Itoa(row) }

// grace is that of a key.
func grace(row int) time.Duration { return raceGrace * time.Duration(row%2) }

// commit changes a row, fences its key with a snapshot that shows the change, and
// orders a refresh, which is lost at times.
func (r *race) commit(c *cache.Cache) {
	row := rand.IntN(raceHot)
	if rand.IntN(8) == 0 {
		row = rand.IntN(raceKeys)
	}
	version := r.data.commit(row)
	for {
		a, s, _, err := r.begin(c, 0)
		if err == nil {
			_, err = c.Fence(r.Context(), a, s, [][]byte{[]byte(raceKey(row))}, grace(row))
		}
		if r.outcome(c, a, cache.Outcome{}, err); err == nil {
			break
		}
		r.note("a fence begins again")
	}
	r.note("fence")
	if g := grace(row); g > 0 {
		time.AfterFunc(g+time.Millisecond, func() { raise(&r.fenced[row], version) })
	} else {
		raise(&r.fenced[row], version)
	}
	if rand.IntN(4) > 0 {
		select {
		case r.orders <- row:
		default:
		}
	}
	time.Sleep(rand.N(4 * raceThink))
}

// raise sets a number that only grows.
func raise(n *atomic.Uint64, to uint64) {
	for old := n.Load(); old < to && !n.CompareAndSwap(old, to); old = n.Load() {
	}
}

// pause takes up to d, and now and then longer than what was read is good for.
func pause(d time.Duration) {
	if d == 0 {
		return
	}
	if rand.IntN(50) == 0 {
		d = raceLife
	}
	time.Sleep(rand.N(d))
}

// begin arms, and stamps a snapshot taken after that. What happens in between, and
// before it is put to use, takes think time.
func (r *race) begin(c *cache.Cache, think time.Duration) (a *cache.Armed, s store.Stamp, rows [raceKeys]uint64,
	err error) {
	if a, err = c.Arm(r.Context()); err != nil {
		return a, s, rows, err
	}
	pause(think)
	snapshot, rows := r.data.snapshot()
	s, err = c.Stamp(r.Context(), a, snapshot)
	pause(think)
	return a, s, rows, err
}

// outcome notes what became of a batch; again: with a new snapshot.
func (r *race) outcome(c *cache.Cache, a *cache.Armed, out cache.Outcome, err error) (again bool) {
	switch {
	case errors.Is(err, cache.ErrSuperseded):
		r.note("SUPERSEDED")
	case errors.Is(err, cache.ErrLost):
		r.note("LOST")
	case errors.Is(err, cache.ErrLate):
		r.note("LATE")
	case errors.Is(err, cache.ErrNewEpoch):
		r.note("new epoch")
	case err != nil:
		r.Error(err)
	}
	for what, n := range map[string]int64{"OK": out.Written, "OLD": out.Old, "KEPT": out.Kept} {
		if n > 0 {
			r.note(what)
		}
	}
	if cache.Again(err) {
		c.Disarm(a)
	}
	return err != nil || out.Old > 0
}

// refresh reads one row until it is not refused.
func (r *race) refresh(c *cache.Cache) {
	var row int
	select {
	case row = <-r.orders:
	case <-r.stop:
		return
	}
	for range 5 {
		a, s, rows, err := r.begin(c, raceThink)
		var out cache.Outcome
		if err == nil {
			out, err = c.Put(r.Context(), c.ClaimRefresh(a, product, s), batch(r.entry(row, rows)))
		}
		if !r.outcome(c, a, out, err) {
			return
		}
	}
}

func (r *race) entry(row int, rows [raceKeys]uint64) store.Entry {
	return entry(raceKey(row), strconv.FormatUint(rows[row], 10), time.Hour)
}

// read looks at a key as an API node does.
func (r *race) read(*cache.Cache) {
	row := rand.IntN(raceKeys)
	newest, fenced := r.newest[row].Load(), r.fenced[row].Load()
	text, err := r.reader.Get(r.Context(), raceKey(row)).Result()
	r.reads.Add(1)
	if errors.Is(err, redis.Nil) {
		return
	}
	version, perr := strconv.ParseUint(text, 10, 64)
	if err := errors.Join(err, perr); err != nil {
		r.Error(err)
		return
	}
	if version < newest {
		r.Errorf("%s has gone back from version %d to %d", raceKey(row), newest, version)
	}
	if version < fenced {
		r.Errorf("%s has version %d after the fence of %d", raceKey(row), version, fenced)
	}
	raise(&r.newest[row], version)
}

func (r *race) prune(c *cache.Cache) {
	n, err := c.Prune(r.Context())
	if err != nil {
		r.Error(err)
	}
	if n > 0 {
		r.note("prune")
	}
	pause(raceLife / 10)
}

// lose has Redis lose its book, or everything.
func (r *race) lose(c *cache.Cache) {
	time.Sleep(rand.N(3 * raceLife))
	if rand.IntN(4) == 0 {
		r.note("flush")
		r.reader.FlushDB(r.Context())
		return
	}
	r.note("loss")
	r.reader.Unlink(r.Context(), c.Book())
}

// waitForRefreshes looks at what is left when everything has come to an end: the newest, or
// nothing, or what will be gone in a moment.
func (r *race) waitForRefreshes() {
	_, rows := r.data.snapshot()
	for row, version := range rows {
		text, err := r.reader.Get(r.Context(), raceKey(row)).Result()
		left := r.reader.PTTL(r.Context(), raceKey(row)).Val()
		if err == nil && text != strconv.FormatUint(version, 10) && left > raceGrace {
			r.Errorf("%s keeps version %s for %v, and the newest is %d", raceKey(row), text, left, version)
		}
	}
}
