package cache

// act is one thing that is done to Redis: the call of a script, or a fault.
type act struct {
	what  what
	stamp int8
	mine  bool // armed under this very book
	age   int8 // of what was armed
	grace bool // of a fence
	since int8 // how long ago the run armed whose value is kept
	id    int8 // of a run
}

type what int8

const (
	doArm what = iota
	doClaim
	doPut
	doRefresh
	doTouch
	doKeep
	doRemember
	doFence
	doPrune
	doLose
	doFlush
	doVanish
)

// effect is what an act does.
type effect struct {
	after   shelf
	says    string // OK, KEPT, or why not
	touched bool   // an EXEC of who has watched the book since before is refused
	before  int8   // what a claim is told: the id of the run before
	pruned  int8   // and #p
}

// deed is an act on Redis in a state.
type deed struct {
	from shelf
	act  act
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
