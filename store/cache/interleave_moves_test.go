package cache

import "fmt"

// move is one step of somebody.
type move struct {
	kind kind
	who  int8 // of the fencers or of the writers
	read int8 // the clock of the snapshot that was taken on the way there
}

type kind int8

const (
	commit kind = iota
	fence
	arms
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
	commit: "a commit becomes visible", fence: "fences", arms: "arms",
	fencesItself: "fences", claims: "claims", recalls: "recalls the last run", looks: "looks at the book", executes: "executes", touches: "touches",
	puts: "puts", isRemembered: "is remembered", graceEnds: "the grace ends", isLost: "is lost", passes: "half a life passes", prunes: "prune",
	bookLost: "the book is lost", flush: "flush", catchUp: "the replica catches up", failover: "failover",
}

func (m move) String() string {
	switch {
	case m.kind == fence:
		return fmt.Sprintf("fencer %d %s", m.who+1, kinds[m.kind])
	case m.kind >= arms && m.kind <= isRemembered || m.kind == isLost:
		return [...]string{"run 1 ", "run 2 ", "refresh "}[m.who] + kinds[m.kind]
	}
	return kinds[m.kind]
}

// work reports whether the step is progress: a state in which none is left is an
// end. That a refresh is lost counts: it must not be needed.
//go:norace
func (m move) work() bool { return m.kind <= isLost }

// moves appends all that may happen next.
//go:norace
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
	may(w.losses > 0 && (w.shelf.book || w.shelf.value != none), flush)
	may(w.crashes > 0 && (w.replica != w.shelf || w.rebook != w.book), catchUp)
	may(w.crashes > 0 && (w.replica != w.shelf || w.rebook != w.book), failover)
	for i, f := range w.fencers {
		all = s.fences(w, int8(i), f, all)
	}
	for i, m := range w.writers {
		if i != 1 || w.writers[0].step != idle { // the runs are alike: the first arms first
			all = s.next(w, int8(i), m, all)
		}
	}
	if w.writers[refresher].step != over {
		all = append(all, move{isLost, refresher, 0})
	}
	return all
}

// fences appends what a fencer may do. It has taken its snapshot at any moment
// since the change became visible: that is the barrier.
//go:norace
func (s setup) fences(w *world, i int8, f fencer, all []move) []move {
	switch f.step {
	case idle:
		shown := i + 1
		if s.noBarrier {
			shown--
		}
		for ; shown <= w.visible; shown++ {
			all = append(all, move{fence, i, shown})
		}
	case fencing:
		all = append(all, move{fence, i, f.stamp})
	}
	return all
}

// next appends what a writer may do next.
//go:norace
func (s setup) next(w *world, i int8, m writer, all []move) []move {
	k := puts
	switch m.step {
	case over:
		return all
	case idle:
		k = arms
	case armed:
		switch {
		case i != refresher:
			k = claims
		case s.selfish:
			k = fencesItself
		}
		for read := m.stamp; read <= w.visible; read++ { // it has taken its snapshot at any moment since it armed
			all = append(all, move{k, i, read})
		}
		return all
	case claimed:
		switch {
		case s.remember:
			k = recalls
		case s.wire:
			k = looks
		}
	case looked:
		k = executes
	case trusting:
		k = touches
	case complete:
		k = isRemembered
	}
	return append(all, move{k, i, m.stamp})
}

// deed is what a move does to Redis, if anything.
//go:norace
func (s setup) deed(w *world, m move) (deed, bool) {
	a := act{grace: s.grace, pruned: none}
	switch m.kind {
	case fence:
		a.what, a.stamp = doFence, m.read
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
//go:norace
func (w *world) act(m move) act {
	by := &w.writers[m.who]
	a := act{stamp: m.read, mine: by.book == w.book && w.book != 0, age: by.age, pruned: none}
	switch m.kind {
	case arms:
		return act{what: doArm, pruned: none}
	case fencesItself:
		return act{what: doFence, stamp: m.read, pruned: none}
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
