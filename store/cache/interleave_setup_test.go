package cache

import (
	"strconv"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
)

// setup is which world is explored.
type setup struct {
	runs     int
	inTurn   bool // a run begins when the one before is over
	refresh  bool
	selfish  bool // a refresh fences its key itself before it puts, as the worker's does
	tries    int8 // how often a refused refresh begins again
	grace    bool
	prune    bool
	alone    bool // nobody follows the commits: there are no fences
	losses   int8 // of the book, or of everything
	crashes  int8 // of the master, whose replica lags
	replay   bool // fences are repeated after a crash
	notice   bool // who arms sees that the server is another one: a book is begun, and every job run again
	wire     bool // runs put by WATCH, MULTI, EXEC
	remember bool // runs leave alone what is as the last one left it. The second commit brings the first content back

	noBarrier bool // wrong on purpose: a fence may come before its change is visible
	noWatch   bool // wrong on purpose: EXEC does all, whatever has happened
	credulous bool // wrong on purpose: every manifest is trusted
	// wrong on purpose: what a run does not look at before it puts by wire. The nonce is none of it: #r says
	// as much
	overlooks string
}

// ticks is how many halves of a life may pass where it matters how many.
const ticks = 2

func (s setup) begin() world {
	w := world{shelf: bare, replica: bare, newest: none, losses: s.losses, crashes: s.crashes}
	if s.prune {
		w.ticks = ticks
	}
	for i := range w.writers {
		if i >= s.runs && i != refresher || i == refresher && !s.refresh {
			w.writers[i].step = over
		}
	}
	for i := range w.unfenced {
		w.unfenced[i] = !s.alone
	}
	s.forget(&w)
	return w
}

// forget makes states equal that differ in nothing that matters.
//
//go:norace
func (s setup) forget(w *world) {
	if !s.remember {
		w.ticks = min(w.ticks, 1) // any number: a book knows of no older age than these
		w.shelf.age, w.shelf.pruned = min(w.shelf.age, 2), min(w.shelf.pruned, 2)
		w.replica.age, w.replica.pruned = min(w.replica.age, 2), min(w.replica.pruned, 2)
	}
	for i := range w.writers {
		m := &w.writers[i]
		if m.step == idle || m.step == over {
			*m = writer{step: m.step, tries: m.tries}
			continue
		}
		if !s.remember {
			m.age, m.pruned, m.since = min(m.age, 1), 0, 0
		}
		if s.crashes == 0 {
			m.book = same(m.book, w.book)
		}
	}
	if !w.last.is {
		w.last = memory{}
	}
	if !w.relast.is {
		w.relast = memory{}
	}
	if s.crashes == 0 {
		w.last.book = same(w.last.book, w.book)
		w.book = same(w.book, w.book)
		w.books = w.book
	}
}

// same counts the books anew: the one there is, and all that were.
func same(book, is int8) int8 {
	if book == is && is != 0 {
		return 1
	}
	return 0
}

// content tells versions apart as digests do.
func (s setup) content(version int8) int8 { return version % 2 }

// trusts asks Claim.Trust itself.
func (w *world) trusts(m *writer) bool {
	name := func(book int8) string { return string('0' + rune(book)) }
	stamped := func(s int8) store.Stamp { return store.Stamp{Epoch: 1, Clock: uint64(s)} }
	cl := newClaim(&Armed{nonces: []string{name(m.book)}}, &jobs.Job{Name: modelJob}, stamped(m.stamp), "run")
	now := 2000 * tickLong // of no meaning, and of 13 digits
	if m.before != none {
		cl.before = strconv.Itoa(int(m.before))
	}
	if m.pruned != none {
		cl.pruned = at(now, m.pruned)
	}
	return cl.Trust(Manifest{ID: strconv.Itoa(int(w.last.id)), Stamp: stamped(w.last.stamp), Nonce: name(w.last.book),
		Armed: now - int64(w.last.age)*tickLong})
}
