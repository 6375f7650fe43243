package cache

// apply is what a move means, and what its deed has done.
//go:norace
func (s setup) apply(w *world, m move, e effect) {
	if e.says != "" {
		w.take(e)
	}
	switch m.kind {
	case commit:
		w.visible++
	case fence:
		w.fencers[m.who] = fencer{over, m.read}
		w.fenced = max(w.fenced, m.who+1, m.read)
	case passes:
		w.pass()
		w.ticks--
		if !s.remember {
			w.ticks++
		}
	case bookLost, flush:
		w.losses--
	case catchUp:
		w.replica, w.rebook = w.shelf, w.book
	case failover:
		s.failover(w)
	case arms, fencesItself, claims, recalls, looks, executes, touches, puts, isRemembered, isLost:
		s.write(w, m, e)
	}
	s.forget(w)
}

// failover makes the replica the master. What was read before it counts no more.
func (s setup) failover(w *world) {
	w.crashes--
	w.shelf, w.book = w.replica, w.rebook
	w.replica, w.rebook = bare, 0
	w.newest, w.fenced = none, 0
	for i := range w.fencers {
		if f := &w.fencers[i]; f.step == over && s.replay {
			f.step = fencing
		}
	}
}

// write is a step of a writer.
//go:norace
func (s setup) write(w *world, m move, e effect) {
	by := &w.writers[m.who]
	switch m.kind {
	case arms:
		by.step, by.age, by.book, by.stamp = armed, 0, w.book, w.visible
	case fencesItself:
		by.step, by.stamp = sending, m.read
		w.fenced = max(w.fenced, by.stamp)
	case claims:
		by.stamp = m.read
		s.claimed(by, e)
	case recalls:
		by.step = sending
		if w.last.is && s.content(w.last.stamp) == s.content(by.stamp) && (s.credulous || w.trusts(by)) {
			by.step = trusting
		}
	case looks:
		by.look(w)
	case executes:
		s.executed(w, by)
	case touches:
		by.step = map[string]step{"KEPT": complete, "SEND": sending}[e.says]
		if by.step == idle {
			by.step = over
		}
	case puts:
		s.put(w, m, e)
	case isRemembered:
		w.last = memory{true, by.stamp, by.book, by.age}
		by.step = over
	case isLost:
		by.step = over
		by.tries = 0
	}
}

//go:norace
func (s setup) claimed(by *writer, e effect) {
	by.step = claimed
	if e.says != "OK" {
		by.step = over
	}
	if s.remember {
		by.before, by.pruned = e.before, e.pruned
	}
}

//go:norace
func (s setup) put(w *world, m move, e effect) {
	by := &w.writers[m.who]
	if e.says == "OK" {
		w.accepted(m.read)
	}
	switch {
	case m.who == refresher && e.says != "OK" && by.tries < s.tries:
		*by = writer{tries: by.tries + 1}
	case m.who != refresher && s.remember && (e.says == "OK" || e.says == "OLD"):
		by.step = complete
	default:
		*by = writer{step: over}
	}
}

// look has the rules of stream.go: what it does not allow is put by script. That
// they are these is tested on real connections.
//go:norace
func (by *writer) look(w *world) {
	by.step, by.dirty = sending, false
	if by.book == w.book && w.book != 0 && w.shelf.run == by.stamp && by.age == 0 && w.shelf.field == none {
		by.step = looked
	}
}

// executed: EXEC does all if nobody has changed the book since the look, whatever
// it says by now; else nothing.
//go:norace
func (s setup) executed(w *world, by *writer) {
	if by.dirty && !s.noWatch {
		by.step, by.dirty = sending, false
		return
	}
	w.shelf.value, w.shelf.grace = by.stamp, false
	w.accepted(by.stamp)
	by.step = over
}
