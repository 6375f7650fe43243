package cache

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
	}
	if w.visible >= shown && w.shelf.book && (w.losses < s.losses || w.crashes < s.crashes) {
		all = append(all, move{lateFence, i, w.visible})
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
