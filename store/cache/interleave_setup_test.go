package cache

import (
	"fmt"
	"time"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
)

// setup is which world is explored.
type setup struct {
	runs     int
	refresh  bool
	selfish  bool // a refresh fences its key itself before it puts, as the worker's does
	tries    int8 // how often a refused refresh begins again
	grace    bool
	prune    bool
	losses   int8 // of the book, or of everything
	crashes  int8 // of the master, whose replica lags
	replay   bool // fences are repeated after a crash
	wire     bool // runs put by WATCH, MULTI, EXEC
	remember bool // runs leave alone what is as the last one left it. The second commit brings the first content back

	noBarrier bool // what is wrong on purpose
	noWatch   bool
	credulous bool
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
	s.forget(&w)
	return w
}

// forget makes states equal that differ in nothing that matters.
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
			m.age = min(m.age, 1)
		}
		if s.crashes == 0 {
			m.book = same(m.book, w.book)
		}
	}
	for i := range w.fencers {
		if f := &w.fencers[i]; f.step == over && s.crashes == 0 {
			f.stamp = 0
		}
	}
	if !w.last.is {
		w.last = memory{}
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

// trusts asks Claim.Trusts itself.
func (w *world) trusts(m *writer) bool {
	name := func(book int8) string { return fmt.Sprint("book ", book) }
	stamped := func(s int8) store.Stamp { return store.Stamp{Epoch: 1, Clock: uint64(s)} }
	cl := newClaim(&Armed{nonces: []string{name(m.book)}}, &jobs.Job{Name: modelJob}, stamped(m.stamp), "run")
	now := time.Hour.Milliseconds() * 24 * 365 // of no meaning
	if m.before != none {
		cl.before = modelStamp(m.before)
	}
	if m.pruned != none {
		cl.pruned = at(now, m.pruned)
	}
	return cl.Trusts(Manifest{Stamp: stamped(w.last.stamp), Nonce: name(w.last.book), Armed: now - int64(w.last.age)*tickLong})
}
