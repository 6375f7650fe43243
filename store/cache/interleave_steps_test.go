package cache

// apply is what a move means, and what its deed has done.
//
//go:norace
func (s setup) apply(w *world, m move, e effect) {
	if e.says != "" {
		w.take(e)
	}
	switch m.kind {
	case commit:
		w.visible++
	case fence:
		w.unfenced[m.who] = false
		w.fenced = max(w.fenced, m.who+1, m.read)
	case passes:
		if w.pass(); s.remember {
			w.ticks--
		}
	case bookLost, flush:
		w.losses--
	case catchUp:
		w.replica, w.rebook, w.relast = w.shelf, w.book, w.last
	case failover:
		s.failover(w)
	case noticed:
		w.strange, w.rerun = false, true
	case runAgain:
		w.rerun = false
		w.writers[0] = writer{}
	default:
		if m.writes() {
			s.write(w, m, e)
		}
	}
	s.forget(w)
}

// failover makes the replica the master. What was read before it counts no more.
func (s setup) failover(w *world) {
	w.crashes--
	w.shelf, w.book, w.last = w.replica, w.rebook, w.relast // the manifest is in Redis too
	w.replica, w.rebook, w.relast = bare, 0, memory{}
	w.newest, w.fenced, w.strange = none, 0, s.notice
	for i := range w.writers {
		switch m := &w.writers[i]; m.step { // the connection is lost, and with it the look
		case looked:
			m.step, m.dirty = claimed, false
		case keeping:
			m.step = trusting
		}
	}
	for i := range w.unfenced {
		w.unfenced[i] = w.unfenced[i] || s.replay
	}
}

// write is a step of a writer.
//
//go:norace
func (s setup) write(w *world, m move, e effect) {
	by := &w.writers[m.who]
	switch m.kind {
	case arms:
		by.step, by.age, by.book, by.stamp = armed, 0, w.book, w.visible
	case fencesItself:
		by.step, by.stamp = sending, m.read
		if e.says != "OK" {
			s.refused(by)
			break
		}
		w.fenced = max(w.fenced, by.stamp)
	case claims:
		by.stamp = m.read
		s.claimed(by, e)
	case recalls:
		by.step = sending
		if w.last.is && s.content(w.last.stamp) == s.content(by.stamp) && (s.credulous || w.trusts(by)) {
			by.step, by.since = trusting, w.last.age
		}
	case looks:
		s.inspect(w, m)
	case executes:
		s.executed(w, by)
	case touches, asks:
		s.touched(w, by, e)
	case looksOn:
		by.step = asking
		if s.free(w, m) && (w.shelf.pruned == none || w.shelf.pruned > by.since) {
			by.step = keeping
		}
	case counts:
		by.step = asking
		if w.shelf.value != none {
			s.keep(w, by)
		}
	case puts:
		s.put(w, m, e)
	case isRemembered:
		if e.says == "OK" {
			w.last = memory{true, m.who, by.stamp, by.book, by.age}
			if by.lied && !w.strange { // else nobody will believe it
				w.broken = honest
			}
		}
		by.step = over
	case isLost:
		*by = writer{step: over}
	}
}
