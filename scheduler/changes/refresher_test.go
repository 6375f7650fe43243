package changes

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
)

// Broken by: a load for each change; a change that came while its key was being loaded and is
// forgotten (the checker's mutant "folded away").
func TestBurstIsFolded(t *testing.T) {
	play(t, func(r *rig) {
		r.hold()
		for xid := range 100 {
			r.yield(commit(uint32(xid), product, "hot"))
			r.sleep(100 * time.Microsecond)
		}
		r.want("fences", len(r.fences["product"]), 100)
		r.want("while the first load goes on", r.begun(), "[product[hot]]")
		r.release()
		r.sleep(time.Second)
		r.want("afterwards", len(r.begun()), 2)
		r.release()
		r.sleep(time.Minute)
		r.want("in the end", len(r.begun()), 2)
	})
}

// A key that changes all the time keeps half a connection busy at most.
func TestHotKeyIsPaced(t *testing.T) {
	play(t, func(r *rig) {
		r.load = func(string, []jobs.Key) error { time.Sleep(10 * time.Millisecond); return nil }
		r.show(2000, "")
		for xid := range 1000 {
			r.yield(commit(uint32(xid), product, "hot"))
			r.sleep(time.Millisecond)
		}
		if n := len(r.begun()); n < 45 || n > 55 {
			t.Errorf("loaded %d times in a second, want some 50", n)
		}
	})
}

func TestConcurrencyIsBounded(t *testing.T) {
	play(t, func(r *rig) {
		r.hold()
		for n := range concurrency + 2 {
			r.yield(commit(uint32(n), product, fmt.Sprint(n)))
		}
		r.want("one job leaves a place for the others", len(r.begun()), concurrency-1)
		r.yield(commit(90, other, "1"), commit(91, other, "2"))
		r.want("another job", r.begun()[concurrency-1:], "[other[1 2]]")
		r.release()
		r.want("the rest goes together", slices.Contains(r.begun(), "product[3 4 5]"), true)
		for range 4 {
			r.release()
		}
		r.want("at a time", r.most, concurrency)
	})
}

func TestManyKeysAreSplit(t *testing.T) {
	play(t, func(r *rig) {
		var all []string
		for n := range jobs.MaxKeys + 1 {
			all = append(all, fmt.Sprint(n))
		}
		r.yield(commit(1, product, all...))
		r.want("loads", len(r.begun()), 2)
	})
}

// What fails is tried again for as long as it takes, and no more often than it must be. Broken
// by: a refresh that is forgotten after a failure (the checker's mutant of that name).
func TestFailedRefreshIsTriedAgain(t *testing.T) {
	play(t, func(r *rig) {
		down := true
		r.load = func(string, []jobs.Key) error {
			if down {
				return &net.OpError{Op: "dial", Err: errors.New("connection refused")}
			}
			return nil
		}
		r.yield(commit(1, product, "1"))
		r.sleep(10 * time.Second)
		r.yield(commit(2, product, "2"))
		r.sleep(10 * time.Minute)
		tries := len(r.begun())
		if tries < 20 || tries > 80 {
			t.Errorf("%d tries in ten minutes", tries)
		}
		r.want("reported", r.reports["product"].Error, "dial: connection refused")
		r.want("keys reported", r.reports["product"].Pending, 2)
		if age := time.Since(r.reports["product"].Oldest); age < 9*time.Minute {
			t.Errorf("the oldest change is reported to be %s old", age)
		}
		r.mu.Lock()
		down = false
		r.mu.Unlock()
		r.sleep(retryLongest)
		r.want("in the end, together and oldest first", r.begun()[len(r.begun())-1], "product[1 2]")
		r.want("what is pending", len(r.refresher.pending), 0)
		r.want("reported at the end", r.reports["product"].Error, "")
	})
}

// A row that makes the query fail must not keep the other keys of its batch out of date.
func TestBadKeyIsIsolated(t *testing.T) {
	play(t, func(r *rig) {
		loaded := make(map[string]bool)
		r.load = func(_ string, keys []jobs.Key) error {
			r.mu.Lock()
			defer r.mu.Unlock()
			if slices.ContainsFunc(keys, func(k jobs.Key) bool { return k["id"] == "13" }) {
				return &store.QueryError{Job: "product", SQLState: "22012", Message: "division by zero"}
			}
			for _, k := range keys {
				loaded[k["id"]] = true
			}
			return nil
		}
		var all []string
		for n := range 100 {
			all = append(all, fmt.Sprint(n))
		}
		r.yield(commit(1, product, all...))
		r.sleep(30 * time.Second)
		r.want("loaded", len(loaded), 99)
		r.yield(commit(2, product, "100"))
		r.want("a new key does not wait for the bad one", loaded["100"], true)
	})
}

// Broken by: a position that a broken query holds back for ever; one that a failure does not
// hold back at all.
func TestFailureHoldsThePosition(t *testing.T) {
	play(t, func(r *rig) {
		r.load = func(string, []jobs.Key) error { return errors.New("down") }
		r.yield(commit(1, product, "1"))
		r.sleep(time.Second)
		r.want("after the first failures", r.refresher.oldest(), 1)
		r.sleep(time.Minute)
		r.want("kept for retry", r.refresher.oldest() == noRound, true)
		r.want("it is still pending", len(r.refresher.pending["product"].byText), 1)
	})
}

// Keys do not pile up for ever while they cannot be loaded.
func TestPendingIsBounded(t *testing.T) {
	play(t, func(r *rig) {
		r.show(1000, "")
		r.load = func(string, []jobs.Key) error { return errors.New("down") }
		for n := range 400 {
			var keys []string
			for k := range 10 {
				keys = append(keys, fmt.Sprint(n, "-", k))
			}
			r.yield(commit(uint32(n), product, keys...))
		}
		if n := len(r.refresher.pending["product"].byText); n > 1000+concurrency*jobs.MaxKeys {
			t.Errorf("%d keys are pending", n)
		}
		r.want("run instead", r.handed(), "[run product]")
		r.want("the position is held", r.dispatcher.oldest() <= 400, true)
	})
}
