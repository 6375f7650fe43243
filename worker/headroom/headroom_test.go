package headroom_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/cache"
	"github.com/stokerhq/stoker/store/cache/info"
	"github.com/stokerhq/stoker/worker/headroom"
)

// world is a cache, and what is known of a job whose last run took 300,000 bytes: 1,000 keys of 200 bytes.
type world struct {
	nodes   []info.Node
	err     error // of the servers
	looks   int
	present int // of 100 sampled keys
	fresh   bool
}

func (w *world) Nodes(context.Context) ([]info.Node, error) {
	w.looks++
	return append([]info.Node(nil), w.nodes...), w.err
}
func (w *world) Warmth(context.Context, string) (int, int, error) { return w.present, 100, nil }
func (w *world) LastComplete(context.Context, string) (store.Record, bool, error) {
	return store.Record{Keys: 1000, Bytes: 200_000}, !w.fresh, nil
}

func (w *world) guard(t *testing.T) (*headroom.Guard, *prometheus.Registry) {
	t.Helper()
	r := prometheus.NewRegistry()
	return headroom.New(headroom.Config{Free: jobs.Redis{Headroom: 0.1}.Free, Cache: w, Warmth: w, Ledger: w,
		Metrics: r}), r
}

// refused demands the error of a guard.
func refused(t *testing.T, err error) *store.HeadroomError {
	t.Helper()
	e, is := errors.AsType[*store.HeadroomError](err)
	if !is {
		t.Fatalf("not refused: %v", err)
	}
	return e
}

// Broken by: the whole set taken for what a run adds; the sum of the servers in place of the fullest; a limit of
// maxmemory itself; evictable with a server that evicts nothing; a server without a limit refused.
func TestARunIsRefusedInAdvance(t *testing.T) {
	t.Parallel()
	const limited = 1_000_000
	at := func(used ...int64) (nodes []info.Node) {
		for i, u := range used {
			nodes = append(nodes, info.Node{RunID: fmt.Sprint(i), Policy: "volatile-ttl", Used: u, Max: limited})
		}
		return nodes
	}
	strict := at(700_000)
	strict[0].Policy = "noeviction"
	for _, c := range []struct {
		name      string
		world     world
		evictable bool
		growth    int64 // of the error; -1: none
	}{
		{"all is gone, and fits", world{nodes: at(599_000)}, false, -1},
		{"all is gone, and does not fit", world{nodes: at(601_000)}, false, 300_000},
		{"half is gone, and fits", world{nodes: at(701_000), present: 50}, false, -1},
		{"half is gone, and does not fit", world{nodes: at(751_000), present: 50}, false, 150_000},
		{"nothing is gone, and redis is full", world{nodes: at(999_000), present: 100}, false, -1},
		{"the fullest server decides", world{nodes: at(100_000, 810_000, 100_000)}, false, 300_000},
		{"each server gets a part", world{nodes: at(790_000, 790_000, 790_000)}, false, -1},
		{"it may evict", world{nodes: at(700_000)}, true, -1},
		{"it may evict, and the server may not", world{nodes: strict}, true, 300_000},
		{"never complete, and there is room", world{nodes: at(800_000), fresh: true}, false, -1},
		{"never complete, and there is none", world{nodes: at(901_000), fresh: true}, false, 0},
		{"no limit", world{nodes: []info.Node{{RunID: "0", Used: 1 << 40}}}, false, -1},
		{"the server does not say", world{err: cache.ErrNoInfo}, false, -1},
	} {
		t.Run(c.name, func(t *testing.T) {
			g, metrics := c.world.guard(t)
			watch, err := g.Begin(t.Context(), &jobs.Job{Name: "j", Evictable: c.evictable})
			count := 0
			if c.growth < 0 {
				if err != nil {
					t.Fatal(err)
				}
				if err := watch.Check(t.Context(), 1<<30); err != nil {
					t.Errorf("nothing has changed: %v", err)
				}
			} else {
				count = 1
				e := refused(t, err)
				if e.Growth != c.growth || e.Begun || (e.Policy != "") != c.evictable || e.Free != limited/10 {
					t.Errorf("%+v", e)
				}
			}
			if err := testutil.GatherAndCompare(metrics, lines(count)); err != nil {
				t.Error(err)
			}
		})
	}
	broken := &world{err: errors.New("gone")}
	g, _ := broken.guard(t)
	if _, err := g.Begin(t.Context(), &jobs.Job{Name: "j"}); !errors.Is(err, broken.err) {
		t.Errorf("a server that does not answer: %v", err)
	}
}

// A run of which nothing is known in advance ends at the limit; one that began near it has a part of what is left; and
// no more is asked of the server than is needed. Broken by: one look at the begin; a look for each batch; a bound that
// moves with what is used; a failover taken for the server that was there before.
func TestARunEndsAtTheLimit(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ start, last int64 }{
		{100 << 20, 900 << 20}, {890 << 20, 940 << 20}, {960 << 20, 980 << 20},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := &world{present: 100,
				nodes: []info.Node{{RunID: "a", Policy: "noeviction", Used: c.start, Max: 1000 << 20}}}
			g, _ := w.guard(t)
			watch, err := g.Begin(t.Context(), &jobs.Job{Name: "j"})
			if err != nil {
				t.Fatal(err)
			}
			const batch = 100 << 10
			written := 0
			for ; err == nil && written < 1<<20; written++ {
				time.Sleep(time.Millisecond)
				if err = watch.Check(t.Context(), batch); err == nil {
					w.nodes[0].Used += batch
				}
			}
			if e := refused(t, err); !e.Begun || e.Used != w.nodes[0].Used {
				t.Errorf("%+v", e)
			}
			// a quarter of what is left, and a batch of each writer
			if over := w.nodes[0].Used - c.last; over < 0 || over > 1<<20 {
				t.Errorf("from %d MB on: ended %d bytes past %d MB", c.start>>20, over, c.last>>20)
			}
			if most := written*4/1000 + 60; w.looks > most {
				t.Errorf("%d looks for %d batches, at most %d", w.looks, written, most)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		w := &world{present: 100, nodes: []info.Node{{RunID: "a", Used: 100, Max: 1000}}}
		g, _ := w.guard(t)
		watch, err := g.Begin(t.Context(), &jobs.Job{Name: "j"})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		w.nodes = []info.Node{{RunID: "b", Used: 960, Max: 1000}}
		if err := watch.Check(t.Context(), 1); err != nil {
			t.Errorf("after a failover to a fuller server: %v", err)
		}
		time.Sleep(time.Second)
		w.err = errors.New("gone")
		if err := watch.Check(t.Context(), 1); err != nil {
			t.Errorf("the server does not answer: %v", err)
		}
		w.err, w.nodes[0].Used = nil, 990
		refused(t, watch.Check(t.Context(), 1))
	})
}

// What is refused says what to do. Broken by: a figure left out; the same words for a run that has begun.
func TestWords(t *testing.T) {
	t.Parallel()
	const does = "redis uses 950 of 1000 bytes, and redis.headroom keeps 100 free; raise maxmemory, take other keys " +
		"elsewhere, or write fewer or smaller values (compress); "
	const may = "where other keys may be evicted for it, set evictable: true on the job"
	for _, c := range []struct {
		e    store.HeadroomError
		want string
	}{
		{store.HeadroomError{}, "job j: the run was refused: " + does + may},
		{store.HeadroomError{Growth: 70}, "job j: the run was refused, as it would add about 70 bytes: " + does + may},
		{store.HeadroomError{Begun: true}, "job j: the run has ended, and what it wrote stays: " + does + may},
		{store.HeadroomError{Policy: "noeviction"}, "job j: the run was refused: " + does +
			"evictable: true means nothing with maxmemory-policy noeviction"},
	} {
		c.e.Job, c.e.Used, c.e.Max, c.e.Free = "j", 950, 1000, 100
		if got := c.e.Error(); got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
	}
}

// lines is the metric as it should be.
func lines(count int) *strings.Reader {
	return strings.NewReader(fmt.Sprintf(`# HELP stoker_cache_headroom_refusals_total Runs that were refused, or ended, `+
		`because the cache would have had less than redis.headroom free.
# TYPE stoker_cache_headroom_refusals_total counter
stoker_cache_headroom_refusals_total{job="j"} %d
`, count))
}
