package jobs

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Problem is one located mistake in the spec. Line and Col count from 1.
type Problem struct {
	File      string
	Line, Col int
	Message   string
	Hint      string // the next step; may be empty
}

// String returns "file:line:col: message (hint)".
func (p Problem) String() string {
	s := fmt.Sprintf("%s:%d:%d: %s", p.File, p.Line, p.Col, p.Message)
	if p.Hint != "" {
		s += " (" + p.Hint + ")"
	}
	return s
}

// Problems is every mistake of a spec, in the order of the file. It is an error.
type Problems []Problem

// Error returns the problems, one a line.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i := range p {
		lines[i] = p[i].String()
	}
	return strings.Join(lines, "\n")
}

// InOrder sorts by position and drops repeats: an anchored value with a mistake
// is read once for each alias of it.
func (p Problems) InOrder() Problems {
	slices.SortStableFunc(p, func(a, b Problem) int {
		return cmp.Or(a.Line-b.Line, a.Col-b.Col)
	})
	return slices.Compact(p)
}

// Mistake is what is wrong with one value. The message goes on from the name of the field ("ttl" +
// "is not a duration") and never repeats the value, which may have come out of the environment;
// the detail may.
type Mistake struct {
	Message, Detail, Hint string
}

// Error returns message, detail and hint.
func (m *Mistake) Error() string {
	s := m.Message
	if m.Detail != "" {
		s += ": " + m.Detail
	}
	if m.Hint != "" {
		s += " (" + m.Hint + ")"
	}
	return s
}

// wrong returns a mistake with the step that mends it.
func wrong(message, hint string) error { return &Mistake{Message: message, Hint: hint} }
