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
	commit:       "a commit becomes visible",
	fence:        "fences",
	lateFence:    "fences under a lost book",
	arms:         "arms",
	fencesItself: "fences",
	claims:       "claims",
	recalls:      "recalls the last run",
	looks:        "looks at the book",
	executes:     "executes",
	touches:      "touches",
	looksOn:      "looks at the book, to send nothing",
	counts:       "counts what is there",
	asks:         "asks what is there",
	puts:         "puts",
	isRemembered: "is remembered",
	graceEnds:    "the grace ends",
	isLost:       "is lost",
	somebodyArms: "somebody arms",
	passes:       "half a life passes",
	prunes:       "prune",
	bookLost:     "the book is lost",
	flush:        "flush",
	catchUp:      "the replica catches up",
	failover:     "failover",
	noticed:      "the failover is noticed",
	runAgain:     "a run is begun for the new epoch",
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
