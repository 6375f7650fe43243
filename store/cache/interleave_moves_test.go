package cache

import "fmt"

// move is one step of somebody.
type move struct {
	kind kind
	who  int8 // of the fencers or of the writers
}

type kind int8

const (
	commit kind = iota
	fenceReads
	fence
	arms
	reads
	fencesItself
	claims
	recalls
	looks
	executes
	touches
	puts
	isRemembered
	graceEnds
	isLost // from here on: what may happen or not
	passes
	prunes
	bookLost
	flush
	catchUp
	failover
)

var kinds = [...]string{
	commit: "a commit becomes visible", fenceReads: "takes its snapshot", fence: "fences", arms: "arms", reads: "takes its snapshot",
	fencesItself: "fences", claims: "claims", recalls: "recalls the last run", looks: "looks at the book", executes: "executes", touches: "touches",
	puts: "puts", isRemembered: "is remembered", graceEnds: "the grace ends", isLost: "is lost", passes: "half a life passes", prunes: "prune",
	bookLost: "the book is lost", flush: "flush", catchUp: "the replica catches up", failover: "failover",
}

func (m move) String() string {
	switch {
	case m.kind == fenceReads, m.kind == fence:
		return fmt.Sprintf("fencer %d %s", m.who+1, kinds[m.kind])
	case m.kind >= arms && m.kind <= isRemembered || m.kind == isLost:
		return [...]string{"run 1 ", "run 2 ", "refresh "}[m.who] + kinds[m.kind]
	}
	return kinds[m.kind]
}

// work reports whether the step is progress: a state in which none is left is an
// end. That a refresh is lost counts: it must not be needed.
func (m move) work() bool { return m.kind <= isLost }

// moves appends all that may happen next.
func (s setup) moves(w *world, all []move) []move {
	may := func(is bool, k kind) {
		if is {
			all = append(all, move{kind: k})
		}
	}
	may(w.visible < changes, commit)
	may(w.shelf.grace, graceEnds)
	may(w.ticks > 0, passes)
	may(s.prune && w.shelf.field != none, prunes)
	may(w.losses > 0 && w.shelf.book, bookLost)
	may(w.flushes > 0 && (w.shelf.book || w.shelf.value != none), flush)
	may(w.crashes > 0 && (w.replica != w.shelf || w.rebook != w.book), catchUp)
	may(w.crashes > 0 && (w.replica != w.shelf || w.rebook != w.book), failover)
	for i, f := range w.fencers {
		shown := int8(i + 1) // the visibility barrier: it takes no snapshot before its commit is there
		if s.noBarrier {
			shown--
		}
		switch {
		case f.step == idle && w.visible >= shown:
			all = append(all, move{fenceReads, int8(i)})
		case f.step == fencing:
			all = append(all, move{fence, int8(i)})
		}
	}
	for i, m := range w.writers {
		if k, ok := s.next(i, m); ok && (i != 1 || w.writers[0].step != idle) { // the runs are alike: the first arms first
			all = append(all, move{k, int8(i)})
		}
	}
	if w.writers[refresher].step != over {
		all = append(all, move{isLost, refresher})
	}
	return all
}

// next is what a writer does next.
func (s setup) next(i int, m writer) (kind, bool) {
	switch m.step {
	case idle:
		return arms, true
	case armed:
		return reads, true
	case reading:
		switch {
		case i != refresher:
			return claims, true
		case s.selfish:
			return fencesItself, true
		}
		return puts, true
	case claimed:
		switch {
		case s.remember:
			return recalls, true
		case s.wire:
			return looks, true
		}
		return puts, true
	case looked:
		return executes, true
	case trusting:
		return touches, true
	case sending:
		return puts, true
	case complete:
		return isRemembered, true
	}
	return 0, false
}

// deed is what a move does to Redis, if anything.
func (s setup) deed(w *world, m move) (deed, bool) {
	a := act{grace: s.grace, pruned: none}
	switch m.kind {
	case fence:
		a.what, a.stamp = doFence, w.fencers[m.who].stamp
	case arms, fencesItself, claims, touches, puts:
		a = w.act(m)
		a.grace = s.grace && m.kind == fencesItself
	case graceEnds:
		a.what = doVanish
	case prunes:
		a.what = doPrune
	case bookLost:
		a.what = doLose
	case flush:
		a.what = doFlush
	default:
		return deed{}, false
	}
	return deed{w.shelf, a}, true
}

// act is what a writer does to Redis.
func (w *world) act(m move) act {
	by := &w.writers[m.who]
	a := act{stamp: by.stamp, mine: by.book == w.book && w.book != 0, age: by.age, pruned: none}
	switch m.kind {
	case arms:
		return act{what: doArm, pruned: none}
	case fencesItself:
		return act{what: doFence, stamp: by.stamp, pruned: none}
	case claims:
		a.what = doClaim
	case touches:
		a.what, a.pruned = doTouch, by.pruned
	case puts:
		if a.what = doPut; m.who == refresher {
			a.what = doRefresh
		}
	}
	return a
}
