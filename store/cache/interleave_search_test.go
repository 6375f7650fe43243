package cache

import (
	"fmt"
	"slices"
	"testing"
)

// found is what a search has found out.
type found struct {
	states, moves, ends int

	broken rule     // 0: none
	trace  []string // to the first state that breaks it: no other is nearer
}

func (f found) String() string {
	return fmt.Sprintf("%d states, %d moves, %d ends", f.states, f.moves, f.ends)
}

// node is a state on the way there.
type node struct {
	world world
	from  int32 // its number
	by    move
}

// search goes through all states that can be reached.
type search struct {
	setup
	b       *bench
	visited func(*world, []move) // may be nil
	nodes   []node               // nearest first
	seen    map[world]struct{}
	unknown map[deed]bool
	moves   []move
	found   found
}

// explore goes through every state, nearest first, until one breaks a rule. visited is
// shown each state and what may happen next.
func (s setup) explore(t testing.TB, b *bench, visited func(*world, []move)) found {
	t.Helper()
	begin := s.begin()
	x := &search{setup: s, b: b, visited: visited, nodes: []node{{world: begin, from: -1}},
		seen:    map[world]struct{}{begin: {}},
		unknown: map[deed]bool{}}
	for first := 0; first < len(x.nodes) && x.found.broken == 0; {
		last := len(x.nodes)
		var later []int
		for i := first; i < last; i++ {
			if !x.visit(i) {
				later = append(later, i)
			}
		}
		b.learn(x.unknown)
		clear(x.unknown)
		for _, i := range later {
			x.visit(i)
		}
		first = last
	}
	x.found.states = len(x.nodes)
	return x.found
}

// visit makes all moves from a state; false: what they do to Redis must be
// learned first.
//
// The explorer is one goroutine that visits a million states: it and what it calls
// for each are told to the race detector as not worth its while.
//
//go:norace
func (x *search) visit(i int) (known bool) {
	from := x.nodes[i].world
	x.moves = x.setup.moves(&from, x.moves[:0])
	known = true
	for _, m := range x.moves {
		if d, ok := x.deed(&from, m); ok {
			if _, ok := x.b.known[d]; !ok {
				x.unknown[d], known = true, false
			}
		}
	}
	if !known {
		return false
	}
	end := !slices.ContainsFunc(x.moves, move.work)
	if end {
		x.found.ends++
	}
	if broken := from.check(end, x.alone); broken != 0 {
		if x.found.broken == 0 {
			x.found.broken, x.found.trace = broken, x.trace(i)
		}
		return true
	}
	if x.visited != nil {
		x.visited(&from, x.moves)
	}
	for _, m := range x.moves {
		x.found.moves++
		to := from
		x.apply(&to, m, x.effect(&from, m))
		if _, ok := x.seen[to]; !ok {
			x.seen[to] = struct{}{}
			x.nodes = append(x.nodes, node{to, int32(i), m})
		}
	}
	return true
}

//go:norace
func (x *search) effect(w *world, m move) effect {
	if d, ok := x.deed(w, m); ok {
		return x.b.known[d]
	}
	return effect{}
}

// trace tells how a state came about.
func (x *search) trace(i int) []string {
	var steps []string
	for ; x.nodes[i].from >= 0; i = int(x.nodes[i].from) {
		n := x.nodes[i]
		text := n.by.String()
		if d, ok := x.deed(&x.nodes[n.from].world, n.by); ok {
			text += d.act.told() + ": " + x.b.known[d].says
		}
		steps = append(steps, text)
	}
	slices.Reverse(steps)
	return steps
}

// told is the stamp of an act that has one.
func (a act) told() string {
	switch a.what {
	case doClaim, doPut, doRefresh, doTouch, doKeep, doFence:
		return fmt.Sprintf(" with stamp %d", a.stamp)
	}
	return ""
}
