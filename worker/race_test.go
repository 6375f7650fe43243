package worker

import (
	"context"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/cache"
)

// Broken by: anything that lets an older value take the place of a newer one, be
// read for longer than the grace, or stay. Two processes run the same jobs over
// each other while rows change and are invalidated, refreshes are lost, and Redis
// loses the book or everything.
func TestRace(t *testing.T) {
	t.Parallel()
	w := newRace(t, nil)
	for range 12 { // a busy machine takes longer until everything has happened
		w.load(5 * time.Second)
		if w.missing() == "" || w.said.String() != "" {
			break
		}
	}
	w.close()
	if n := w.said.String(); n != "" {
		t.Error(n)
	}
	t.Log(w.counts())
	if what := w.missing(); what != "" {
		t.Errorf("the test is blind: no %s in %s", what, w.counts())
	}
}

// Broken by: a checker that would let a broken protocol pass.
func TestRaceCatches(t *testing.T) {
	t.Parallel()
	for name, broken := range map[string]breakage{
		"a put that ignores the claim":     func(w *race, _ *cache.Cache, c Cache) Cache { return plainPut{c, w} },
		"a fence that does nothing":        func(_ *race, _ *cache.Cache, c Cache) Cache { return noFence{c} },
		"a fence that graces for too long": func(_ *race, _ *cache.Cache, c Cache) Cache { return longGrace{c} },
		"stamps that are all the same":     func(_ *race, _ *cache.Cache, c Cache) Cache { return oneStamp{c} },
		"a cache that is armed after reading": func(w *race, direct *cache.Cache,
			c Cache) Cache {
			return lateArm{c, direct, w}
		},
		"a manifest that is always trusted": func(w *race, _ *cache.Cache,
			c Cache) Cache {
			return &trusting{Cache: c, w: w}
		},
	} {
		t.Run(name, func(t *testing.T) {
			for range 12 { // what depends on luck gets it
				w := newRace(t, broken)
				w.load(time.Second)
				w.close()
				if caught := w.said.String(); caught != "" {
					line, _, _ := strings.Cut(caught, "\n")
					t.Log(line)
					return
				}
			}
			t.Error("it is not caught")
		})
	}
}

// load lets everything go on at once, and holds what comes of it to Postgres.
func (w *race) load(long time.Duration) {
	begin := time.Now()
	var runs, rest sync.WaitGroup
	stopRuns, stopWrites, stopReads := make(chan struct{}), make(chan struct{}), make(chan struct{})
	for n, p := range w.procs {
		runs.Go(func() { until(stopRuns, func() { w.runOnce(p, n) }) })
	}
	runs.Go(func() { w.faults(stopRuns, long) })
	for range 4 {
		conn := w.connect()
		rest.Go(func() { until(stopWrites, func() { w.change(conn) }) })
	}
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() { until(stopReads, w.read) })
	}
	for time.Since(begin) < long && w.said.String() == "" {
		time.Sleep(10 * time.Millisecond)
	}
	close(stopRuns)
	runs.Wait()
	w.wholeRun("race") // whatever a flush has left
	time.Sleep(150 * time.Millisecond)
	close(stopWrites)
	rest.Wait()
	time.Sleep(raceGrace + raceSlack)
	close(stopReads)
	readers.Wait()

	w.settled()
	w.halfRun()
	w.wholeRun("race")
	w.wholeRun("flag")
	want, got := w.r.want(raceWant+" UNION ALL "+flagWant), w.r.texts()
	for key := range got {
		// Nobody invalidates these: one that only a run which did not come through
		// has written is in no manifest, and stays until its TTL when its row goes.
		if _, there := want[key]; !there && strings.HasPrefix(key, "f:") {
			delete(got, key)
		}
	}
	w.say(differ(want, got))
}

// until calls do again and again.
func until(stop <-chan struct{}, do func()) {
	for {
		select {
		case <-stop:
			return
		default:
			do()
		}
	}
}

// wholeRun does a run that nothing disturbs but writers: it must come through.
func (w *race) wholeRun(job string) {
	rec, err := w.procs[0].Run(context.Background(), "whole", jobs.Run{Job: job, Cause: jobs.CauseCommand}, nil)
	if err != nil || rec.State != store.StateOK {
		w.t.Errorf("a run that nothing disturbs: %s, %v", rec.State, err)
	}
}

// halfRun writes half of the values that were there for a moment and are no more:
// what the last complete run remembers is true again, but not in Redis.
func (w *race) halfRun() {
	w.r.exec("UPDATE item SET v = v + 1")
	w.cut.Store(true)
	if _, err := w.procs[0].Run(context.Background(), "half", jobs.Run{Job: "flag", Cause: jobs.CauseCommand},
		nil); err == nil {
		w.t.Error("a run that was cut short came through")
	}
	w.cut.Store(false)
	w.r.exec("UPDATE item SET v = v + 1")
}

// faults loses the book a few times a second, and everything once.
func (w *race) faults(stop <-chan struct{}, long time.Duration) {
	begin, flushed := time.Now(), false
	until(stop, func() {
		time.Sleep(50*time.Millisecond + rand.N(250*time.Millisecond))
		ctx := context.Background()
		if !flushed && time.Since(begin) > long/2 {
			flushed = true
			w.count("flushes", w.r.redis.FlushDB(ctx).Err() == nil)
		}
		w.count("lost books", w.r.redis.Unlink(ctx, raceBook).Val() == 1)
	})
}

// runOnce is one run of a process, which may end in many ways.
func (w *race) runOnce(p *Worker, n int) {
	job := "race"
	if rand.IntN(4) == 0 {
		job = "flag"
	}
	rec, err := p.Run(context.Background(), "race", jobs.Run{Job: job, Cause: jobs.CauseCommand}, nil)
	w.count("complete runs", err == nil && rec.State == store.StateOK)
	w.count("superseded runs", rec.State == store.StateSuperseded)
	w.add("restarts", int64(rec.Restarts))
	w.add("old", rec.Old)
	w.add("kept", rec.Kept)
	time.Sleep(rand.N(time.Duration(40+80*n) * time.Millisecond))
}

// settled compares Redis with Postgres when all is quiet but before a last run:
// only a key whose refresh was lost may differ, and it must be gone.
func (w *race) settled() {
	want, got := w.r.want(raceWant), w.r.texts()
	for n, row := range w.rows {
		if _, there := got[w.key(n)]; !there && !row.lost.IsZero() {
			delete(want, w.key(n))
		}
	}
	for key := range got {
		if strings.HasPrefix(key, "f:") {
			delete(got, key)
		}
	}
	if d := differ(want, got); d != "" {
		w.say("settled: " + d)
	}
}
