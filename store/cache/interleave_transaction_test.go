package cache

import (
	"maps"
	"slices"
	"testing"
	"time"
)

// window is a run that has looked at the book and is about to execute, and what
// somebody else does to Redis just then.
type window struct {
	shelf shelf
	run   act
	other act
}

// nobody is the other when the look tells the run not to try by wire.
var nobody = act{what: -1}

// watchman notes all windows that come about.
type watchman struct {
	setup
	windows map[window]bool
}

func (s watchman) record(w *world, moves []move) {
	for _, m := range moves {
		if m.kind != looks {
			continue
		}
		m.kind = puts
		run, _ := s.deed(w, m)
		if !run.free() {
			s.windows[window{w.shelf, run.act, nobody}] = true
			continue
		}
		for _, other := range moves {
			if d, ok := s.deed(w, other); ok && !(other.writes() && other.who == m.who) {
				s.windows[window{w.shelf, run.act, d.act}] = true
			}
		}
	}
}

// result is what a window comes to.
type result struct {
	after shelf
	says  string
	abort bool // Redis has refused the transaction
}

// expect is what a window must come to: EXEC if the other has left the book
// alone, else what the script says after the other.
func (b *bench) expect(w window) result {
	put := deed{w.shelf, w.run}
	if w.other != nobody {
		e := b.known[deed{w.shelf, w.other}]
		if !e.touched {
			e.after.value, e.after.grace = w.run.stamp, false
			return result{e.after, "OK", false}
		}
		put.from = e.after
		put.act.mine = w.run.mine && e.after.book
	}
	if _, ok := b.known[put]; !ok {
		b.learn(map[deed]bool{put: true})
	}
	return result{b.known[put].after, b.known[put].says, w.other != nobody}
}

// TestInterleavingsByTransaction explores the same for runs that put by WATCH, MULTI and
// EXEC. Then it lets somebody else act between the look and the EXEC of a run, in
// every way that has come about, on real connections: what comes of it must be
// what the explorer takes it for, the transaction, or the script after the other.
func TestInterleavingsByTransaction(t *testing.T) {
	b := newBench(t)
	windows := map[window]bool{}
	for _, s := range []setup{
		full.with(func(s *setup) { s.wire = true }),
		full.with(func(s *setup) { s.wire, s.grace, s.prune = true, true, false }),
	} {
		f := s.explore(t, b, watchman{s, windows}.record)
		t.Log(f)
		f.want(t, 0)
	}
	begun := time.Now()
	o := openWindows(t, b)
	tried, aborted := 0, 0
	for w := range windows {
		for _, quiet := range []bool{true, false} {
			if w.other == nobody && quiet {
				continue // one look at the key's field is enough
			}
			want, got := b.expect(w), o.try(w, quiet)
			if got != want {
				t.Errorf("%+v: %+v, want %+v", w, got, want)
			}
			tried++
			if got.abort {
				aborted++
			}
		}
	}
	t.Logf("%d windows on real connections, %d transactions refused, in %v", tried, aborted,
		time.Since(begun).Round(time.Millisecond))
	o.blind(slices.Collect(maps.Keys(windows)))
}

// blind tries windows without WATCH, until one shows an older value after a fence.
func (o *opened) blind(windows []window) {
	o.t.Helper()
	o.tap.Blind.Store(true)
	for _, w := range windows {
		if w.other.what != doFence || w.other.stamp <= w.run.stamp {
			continue
		}
		if got := o.try(w, true); got.after.value == w.run.stamp && got.after.field > w.run.stamp {
			o.t.Logf("without WATCH: %+v comes to %+v", w, got)
			return
		}
	}
	o.t.Error("without WATCH nothing happens that could not happen with it")
}
