package cache_test

import (
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/cache"
	"github.com/stokerhq/stoker/store/storetest"
)

// What is raced for. A life is so short that some are too late with what they
// read, and that fields are pruned all the time.
const (
	raceKeys  = 40
	raceHot   = 8 // keys that most changes are of
	raceLife  = 300 * time.Millisecond
	raceGrace = 15 * time.Millisecond // of every other key
	raceThink = 2 * time.Millisecond
	raceTick  = 30 * time.Millisecond
	raceAtMin = 50  // ticks
	raceAtMax = 500 // what has not been seen by then will not be
)

// TestRace has everybody write at once, on a real Redis that loses its book, and at
// times everything. Readers see to it that nothing ever goes back, and that nothing
// older than a fence is there when the fence has returned.
func TestRace(t *testing.T) {
	r := &race{T: t, tap: new(cache.Tap), orders: make(chan int, 64), stop: make(chan struct{}), seen: map[string]int{}}
	url := storetest.Redis(t)
	for range 3 {
		c := cache.New(r.tap.Client(t, url), time.Minute)
		c.SetLife(raceLife)
		r.caches = append(r.caches, c)
	}
	r.reader = client(t, url)
	for range 2 {
		r.start(r.run)
		r.start(r.commit)
		r.start(r.refresh)
		r.start(r.read)
	}
	r.start(r.prune)
	r.start(r.lose)
	begun := time.Now()
	for n := 0; n < raceAtMin || n < raceAtMax && r.missing() != ""; n++ {
		time.Sleep(raceTick) // what happens meanwhile is the test
	}
	close(r.stop)
	r.group.Wait()
	r.waitForRefreshes()
	if m := r.missing(); m != "" {
		t.Error("never seen:", m)
	}
	t.Logf("%d commits, %d reads, in %v: %v, %d transactions of which %d were refused",
		r.data.clock, r.reads.Load(), time.Since(begun).Round(time.Millisecond), r.seen, r.tap.Execs.Load(),
		r.tap.Aborts.Load())
}

type race struct {
	*testing.T
	data   database
	tap    *cache.Tap
	caches []*cache.Cache // a process each
	reader redis.UniversalClient
	orders chan int // keys to be refreshed
	stop   chan struct{}
	group  sync.WaitGroup
	reads  atomic.Int64

	newest [raceKeys]atomic.Uint64 // version that was read
	fenced [raceKeys]atomic.Uint64 // version that nothing may be older than

	mu   sync.Mutex
	seen map[string]int
	last remembered // of the runs
}

// database is versioned rows and their commit clock.
type database struct {
	mu    sync.Mutex
	clock uint64
	rows  [raceKeys]uint64 // versions
}

func (d *database) commit(row int) (version uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.clock++
	d.rows[row] = d.clock
	return d.clock
}

func (d *database) snapshot() (store.Snapshot, [raceKeys]uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return moment(d.clock), d.rows
}

// start has an actor act again and again, on one of the processes.
func (r *race) start(act func(*cache.Cache)) {
	r.group.Go(func() {
		for {
			select {
			case <-r.stop:
				return
			default:
				act(r.caches[rand.IntN(len(r.caches))])
			}
		}
	})
}

// note counts an outcome.
func (r *race) note(what string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen[what]++
}

// missing names what has not been seen yet.
func (r *race) missing() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var names []string
	for _, what := range []string{"OK", "OLD", "KEPT", "LOST", "LATE", "SUPERSEDED", "fence", "prune"} {
		if r.seen[what] == 0 {
			names = append(names, what)
		}
	}
	if r.tap.Aborts.Load() == 0 {
		names = append(names, "a refused transaction")
	}
	return strings.Join(names, ", ")
}
