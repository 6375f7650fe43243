package memory

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hibiken/asynq"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/cache/info"
)

// world is a cache with one job of 1000 keys and 1 MB.
type world struct {
	*Watcher
	spec *jobs.Spec
	warm int // of 100 sampled keys
	kept []store.Eviction
	runs int
	log  bytes.Buffer
	node info.Node
}

func (w *world) Warmth(context.Context, string) (int, int, error) { return w.warm, 100, nil }
func (w *world) LastComplete(context.Context, string) (store.Record, bool, error) {
	return store.Record{Keys: 1000, Bytes: 1_000_000}, true, nil
}
func (w *world) KeepEviction(_ context.Context, e store.Eviction) error {
	w.kept = append(w.kept, e)
	return nil
}
func (w *world) Lease(context.Context, string, string, time.Duration) (bool, error) { return true, nil }
func (w *world) EnqueueContext(context.Context, *asynq.Task, ...asynq.Option) (*asynq.TaskInfo, error) {
	w.runs++
	return &asynq.TaskInfo{}, nil
}

// evict lets a server evict keys for a while, which it says every second, and is quiet afterwards.
func (w *world) evict(keys int64, seconds int) {
	for range seconds {
		w.node.Evicted += keys
		w.second()
	}
	for range 30 {
		w.second()
	}
}

func (w *world) second() {
	time.Sleep(time.Second)
	w.Observe([]info.Node{w.node}, time.Now())
	synctest.Wait()
}

func (w *world) last() store.Eviction { return w.kept[len(w.kept)-1] }

func newWorld(t *testing.T) *world {
	w := &world{warm: 100, node: info.Node{RunID: "a", Policy: "volatile-ttl", Used: 9_900_000, Max: 10_000_000}}
	template, err := jobs.ParseKeyTemplate("k:{id}")
	if err != nil {
		t.Fatal(err)
	}
	w.spec = &jobs.Spec{Jobs: []*jobs.Job{{Name: "k", Key: template}}}
	w.Watcher = New(Config{Spec: func() *jobs.Spec { return w.spec }, Warmth: w, Ledger: w, Enqueuer: w,
		Metrics: prometheus.NewRegistry(), Log: slog.New(slog.NewTextHandler(&w.log, nil))})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { w.Run(ctx); close(done) }()
	t.Cleanup(func() { cancel(); <-done })
	return w
}

// One eviction is said once at its begin and once at its end, whatever it takes meanwhile. Broken by: a line for each
// look; an end that comes with the first quiet second; what was evicted before the first look.
func TestEvictionIsSaidOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.node.Evicted = 77
		w.second()
		w.second()
		if len(w.kept) > 0 {
			t.Errorf("an old eviction is told: %v", w.kept)
		}
		w.node.Evicted += 5
		w.second()
		if e := w.last(); e.Keys != 5 || !e.Until.IsZero() || !e.Wrong() {
			t.Errorf("after one look: %+v", e)
		}
		w.evict(10, 60)
		if e := w.last(); e.Keys != 605 || e.Until.Sub(e.Last) < defaultQuiet || e.Refill != store.RefillNone ||
			e.Wrong() {
			t.Errorf("at the end: %+v", e)
		}
		if n := strings.Count(w.log.String(), "level="); n != 2 {
			t.Errorf("%d lines: %s", n, w.log.String())
		}
		w.node = info.Node{RunID: "another", Max: 10_000_000} // a restart counts from zero
		w.second()
		w.second()
		if e := w.last(); e.Keys != 605 {
			t.Errorf("after a restart: %+v", e)
		}
	})
}

// Jobs are run again where what they have lost fits, and only once if that is evicted again. Broken by: a refill beside
// a full memory, or where it would be refused; one after another for ever; one that is never tried again, although
// maxmemory was raised.
func TestRefillHelpsOrIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.second()
		w.warm = 50
		w.evict(100, 3)
		if e := w.last(); w.runs != 0 || e.Refill != store.RefillNoRoom || !e.Wrong() {
			t.Errorf("a full memory: %d runs, %+v", w.runs, e)
		}
		w.node.Used = 5_000_000 // another application has gone
		w.spec.Redis.Headroom = 0.5
		w.evict(100, 3)
		if e := w.last(); w.runs != 0 || e.Refill != store.RefillNoRoom {
			t.Errorf("room that runs would leave free: %d runs, %+v", w.runs, e)
		}
		w.spec.Jobs[0].Evictable = true
		w.evict(100, 3)
		if e := w.last(); w.runs != 1 || e.Refill != store.RefillBegun || e.Wrong() {
			t.Errorf("with room: %d runs, %+v", w.runs, e)
		}
		for range 3 {
			w.evict(100, 3)
		}
		if e := w.last(); w.runs != 1 || e.Refill != store.RefillFutile || !e.Wrong() {
			t.Errorf("evicted again: %d runs, %+v", w.runs, e)
		}
		w.node.Max = 20_000_000
		w.evict(100, 3)
		if e := w.last(); w.runs != 2 || e.Refill != store.RefillBegun {
			t.Errorf("with more memory: %d runs, %+v", w.runs, e)
		}
	})
}
