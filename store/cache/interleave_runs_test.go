package cache

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
	case m.who == refresher && e.says != "OK":
		s.refused(by)
	case m.who != refresher && s.remember && (e.says == "OK" || e.says == "OLD"):
		by.step = complete
	default:
		*by = writer{step: over}
	}
}

// refused: a refresh begins again, for a while.
//
//go:norace
func (s setup) refused(by *writer) {
	if by.tries < s.tries {
		*by = writer{tries: by.tries + 1}
	} else {
		*by = writer{step: over}
	}
}

// touched: what must be sent is put by script.
//
//go:norace
func (s setup) touched(w *world, by *writer, e effect) {
	switch e.says {
	case "KEPT":
		s.keep(w, by)
	case "SEND":
		by.step = sending
	default:
		by.step = over
	}
}

// keep leaves a value alone that is taken for what the run has read.
//
//go:norace
func (s setup) keep(w *world, by *writer) {
	by.step = complete
	if v := w.shelf.value; v < by.stamp && s.content(v) != s.content(by.stamp) {
		by.lied = true
	}
}

// inspect has the rules of stream.go: what it does not allow is put by script. That
// they are these is tested on real connections.
//
//go:norace
func (s setup) inspect(w *world, m move) {
	by := &w.writers[m.who]
	by.step, by.dirty = sending, false
	if s.free(w, m) {
		by.step = looked
	}
}

//go:norace
func (s setup) free(w *world, m move) bool {
	m.kind = puts
	d, _ := s.deed(w, m)
	switch s.overlooks {
	case "run":
		d.from.run = d.act.stamp
	case "deadline":
		d.act.age = 0
	case "field":
		d.from.field = none
	}
	return d.free()
}

// free reports whether a run may put by wire.
//
//go:norace
func (d deed) free() bool {
	return d.act.mine && d.from.run == d.act.stamp && d.act.age == 0 && d.from.field == none
}

// executed: EXEC does all if nobody has changed the book since the look, whatever
// it says by now; else nothing.
//
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
