package cache

// world is one state of everything: a row that two commits change, those who
// write its value, and Redis. It is a key of a map of all states: what makes no
// difference any more is forgotten in it.
type world struct {
	visible  int8          // commits that a snapshot shows: its clock, and the version it reads
	unfenced [changes]bool // commits that are yet to be fenced
	writers  [4]writer     // runs of one job, and a refresh
	last     memory
	shelf    shelf
	book     int8 // which book there is: they are counted
	books    int8
	replica  shelf // what a replica has got of Redis' past
	rebook   int8
	relast   memory
	strange  bool // the server is another one, and nobody has noticed
	rerun    bool // every job is to be run again

	ticks   int8 // that may still pass
	losses  int8
	crashes int8

	newest int8 // version that was ever accepted
	fenced int8 // the newest change whose fence has returned
	broken rule
}

// changes is how many commits there are.
const changes = 2

// writer is a run or a refresh.
type writer struct {
	step   step
	age    int8 // of what it armed, in ticks
	book   int8 // it armed under
	stamp  int8
	before int8 // its claim was told: the id of the run before
	pruned int8 // and how long ago the newest field was written that had been pruned
	since  int8 // how long ago the run armed whose value it trusts
	lied   bool // it has kept what is not the value that it has read
	dirty  bool // somebody has changed the book since it looked
	tries  int8
}

// refresher is the writer that is a refresh.
const refresher = 3

// memory is what the last complete run has left, its manifest.
type memory struct {
	is                   bool
	id, stamp, book, age int8
}

type step int8

const (
	idle     step = iota
	armed         // its stamp is at least that of the moment
	claimed       // a run has
	looked        // at the book, watching it
	trusting      // the last run's memory
	keeping       // it has looked: what has no field may stay
	asking        // the script what is there
	sending       // by script
	complete      // and not yet remembered
	over
)

// rule is what must always hold.
type rule int8

const (
	monotone  rule = iota + 1 // what is written never goes back
	permanent                 // a fence holds
	fresh                     // in the end there is the newest version or none
	honest                    // a manifest tells of what there is
)

func (r rule) String() string {
	return [...]string{"nothing is broken",
		"an older version was accepted after a newer one",
		"after the fence of a change the value is older, and not on grace",
		"nothing is left to be done, and the value is not the newest",
		"a run has kept a value that is older than what it has read, and another"}[r]
}

// check names the rule that a state breaks. end: nothing is left to be done. alone:
// nobody promises that what is there is the newest.
//
//go:norace
func (w *world) check(end, alone bool) rule {
	v := w.shelf.value
	switch {
	case w.broken != 0:
		return w.broken
	case v != none && !w.shelf.grace && v < min(w.fenced, w.visible):
		return permanent
	case end && v != none && v != w.visible && !alone:
		return fresh
	}
	return 0
}

// accepted: a version has been written.
//
//go:norace
func (w *world) accepted(version int8) {
	if version < w.newest {
		w.broken = monotone
	}
	w.newest = max(w.newest, version)
}

// take brings Redis into the state that an act has left.
//
//go:norace
func (w *world) take(e effect) {
	switch {
	case !e.after.book:
		w.book = 0
	case !w.shelf.book:
		w.books++
		w.book = w.books
	}
	w.shelf = e.after
	if e.touched {
		for i := range w.writers {
			w.writers[i].dirty = w.writers[i].dirty || w.writers[i].step == looked
		}
	}
}

// pass lets half a life go by.
//
//go:norace
func (w *world) pass() {
	for i := range w.writers {
		m := &w.writers[i]
		m.age++
		if m.step >= claimed && m.pruned != none {
			m.pruned++
		}
		if m.step >= trusting {
			m.since++
		}
	}
	w.last.age++
	w.relast.age++
	w.shelf.pass()
	w.replica.pass()
}

//go:norace
func (s *shelf) pass() {
	if s.field != none {
		s.age++
	}
	if s.pruned != none {
		s.pruned++
	}
}
