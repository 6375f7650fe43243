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
	lateFence
	arms
	fencesItself
	claims
	recalls
	looks
	executes
	touches
	looksOn
	counts
	asks
	puts
	isRemembered
	graceEnds
	isLost // from here on: what may happen or not
	somebodyArms
	passes
	prunes
	bookLost
	flush
	catchUp
	failover
	noticed
	runAgain
)

var kinds = [...]string{
	commit: "a commit becomes visible", fence: "fences", lateFence: "fences under a lost book", arms: "arms",
	fencesItself: "fences", claims: "claims", recalls: "recalls the last run", looks: "looks at the book", executes: "executes", touches: "touches", looksOn: "looks at the book, to send nothing", counts: "counts what is there", asks: "asks what is there",
	puts: "puts", isRemembered: "is remembered", graceEnds: "the grace ends", isLost: "is lost", somebodyArms: "somebody arms", passes: "half a life passes", prunes: "prune",
	bookLost: "the book is lost", flush: "flush", catchUp: "the replica catches up", failover: "failover", noticed: "the failover is noticed", runAgain: "a run is begun for the new epoch",
}

func (m move) String() string {
	switch {
	case m.kind == fence, m.kind == lateFence:
		return fmt.Sprintf("fencer %d %s", m.who+1, kinds[m.kind])
	case m.writes():
		return [...]string{"run 1 ", "run 2 ", "run 3 ", "refresh "}[m.who] + kinds[m.kind]
	}
	return kinds[m.kind]
}

// writes reports whether it is a writer's step.
func (m move) writes() bool { return m.kind >= arms && m.kind <= isRemembered || m.kind == isLost }

// work reports whether the step is progress: a state in which none is left is an
// end. That a refresh is lost counts: it must not be needed.
//
//go:norace
func (m move) work() bool { return m.kind <= isLost || m.kind == noticed || m.kind == runAgain }

// moves appends all that may happen next.
//
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
	behind := w.crashes > 0 && (w.replica != w.shelf || w.rebook != w.book || w.relast != w.last)
	may(behind, catchUp)
	may(behind, failover)
	may(w.strange, noticed)
	may(w.rerun && w.writers[0].step == over, runAgain)
	may(!w.shelf.book && !w.strange, somebodyArms)
	for i, open := range w.unfenced {
		if open {
			all = s.fences(w, int8(i), all)
		}
	}
	for i, m := range w.writers {
		if s.turn(w, i) {
			all = s.next(w, int8(i), m, all)
		}
	}
	if w.writers[refresher].step != over {
		all = append(all, move{isLost, refresher, 0})
	}
	return all
}

// turn reports whether a writer may begin, or has.
//
//go:norace
func (s setup) turn(w *world, i int) bool {
	if i == 0 || i == refresher {
		return true
	}
	before := w.writers[i-1].step // the runs are alike: let them begin in order
	return before == over || before != idle && !s.inTurn
}

// fences appends how a commit can be fenced: with any snapshot since it became
// visible, which is the barrier. One that armed under a book that was lost must
// begin again; nothing else is to be known of when it armed.
//
//go:norace
func (s setup) fences(w *world, i int8, all []move) []move {
	shown := i + 1
	if s.noBarrier {
		shown--
	}
	for read := shown; read <= w.visible; read++ {
		all = append(all, move{fence, i, read})
		if w.shelf.book && (w.losses < s.losses || w.crashes < s.crashes) {
			all = append(all, move{lateFence, i, read})
		}
	}
	return all
}

// next appends what a writer may do next.
//
//go:norace
func (s setup) next(w *world, i int8, m writer, all []move) []move {
	k := puts
	switch m.step {
	case over:
		return all
	case idle:
		if k = arms; w.strange {
			return all // it notices that first
		}
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
		if k = touches; s.wire {
			all = append(all, move{looksOn, i, m.stamp})
		}
	case keeping:
		k = counts
	case asking:
		k = asks
	case complete:
		k = isRemembered
	}
	return append(all, move{k, i, m.stamp})
}

// deed is what a move does to Redis, if anything.
//
//go:norace
func (s setup) deed(w *world, m move) (deed, bool) {
	a := act{grace: s.grace}
	switch m.kind {
	case fence:
		a.what, a.stamp, a.mine = doFence, m.read, w.shelf.book
	case lateFence:
		a.what, a.stamp = doFence, m.read
	case somebodyArms:
		a.what, a.grace = doArm, false
	case arms, fencesItself, claims, touches, asks, puts, isRemembered:
		a = s.act(w, m)
		a.grace = s.grace && m.kind == fencesItself
	case graceEnds:
		a.what = doVanish
	case prunes:
		a.what = doPrune
	case bookLost, noticed:
		a.what = doLose
	case flush:
		a.what = doFlush
	default:
		return deed{}, false
	}
	return deed{w.shelf, a}, true
}

// act is what a writer does to Redis.
//
//go:norace
func (s setup) act(w *world, m move) act {
	by := &w.writers[m.who]
	a := act{stamp: m.read, mine: by.book == w.book && w.book != 0, age: by.age}
	switch m.kind {
	case arms:
		return act{what: doArm}
	case fencesItself:
		return act{what: doFence, stamp: m.read, mine: a.mine}
	case claims:
		if a.what = doClaim; s.remember { // else it does not matter whose run it was
			a.id = m.who
		}
	case isRemembered:
		return act{what: doRemember, mine: a.mine, id: m.who}
	case touches:
		a.what, a.since = doTouch, by.since
	case asks:
		a.what, a.since = doKeep, by.since
	case puts:
		if a.what = doPut; m.who == refresher {
			a.what = doRefresh
		}
	}
	return a
}
