package analyze

import (
	"strconv"
	"strings"

	"github.com/stokerhq/stoker/store/postgres"
)

// column is a column of a scan in a plan: the scan's alias, and the column's name, without quotes.
type column struct{ alias, name string }

// side is one side of an equality: a column, or the key's marker, or neither.
type side struct {
	column
	casts []string // the types that the column is converted to, one after the other
	key   int      // which of the key's columns the marker stands for; -1: it is no marker
}

func (s side) isColumn() bool { return s.alias != "" }

// equality is a condition that two sides are equal.
type equality struct{ left, right side }

// equalities are the equalities that hold for each row that a condition lets through: those that are joined by
// AND. EXPLAIN puts every operator in brackets of its own.
func equalities(condition string) (list []equality) {
	for _, part := range conjuncts(lexed(condition)) {
		at := splitAt(part, "=")
		if len(at) != 2 {
			continue
		}
		e := equality{readSide(at[0]), readSide(at[1])}
		if e.left.isColumn() && (e.right.isColumn() || e.right.key >= 0) {
			list = append(list, e)
		}
		if e.right.isColumn() && (e.left.isColumn() || e.left.key >= 0) {
			list = append(list, equality{e.right, e.left})
		}
	}
	return list
}

// conjuncts splits at AND.
func conjuncts(expr []token) (parts [][]token) {
	expr = bare(expr)
	if len(splitAt(expr, "or")) > 1 {
		return nil
	}
	ands := splitAt(expr, "and")
	if len(ands) == 1 {
		return [][]token{expr}
	}
	for _, and := range ands {
		parts = append(parts, conjuncts(and)...)
	}
	return parts
}

// splitAt splits at a token that is in no bracket.
func splitAt(expr []token, separator string) (parts [][]token) {
	depth, from := 0, 0
	for i, t := range expr {
		switch {
		case t.is("(", "["):
			depth++
		case t.is(")", "]"):
			depth--
		case depth == 0 && t.is(separator):
			parts = append(parts, expr[from:i])
			from = i + 1
		}
	}
	return append(parts, expr[from:])
}

// bare removes brackets around a whole expression.
func bare(expr []token) []token {
	for len(expr) >= 2 && expr[0].is("(") && closing(expr) == len(expr)-1 {
		expr = expr[1 : len(expr)-1]
	}
	return expr
}

// closing is where the bracket closes that expr begins with.
func closing(expr []token) int {
	depth := 0
	for i, t := range expr {
		switch {
		case t.is("(", "["):
			depth++
		case t.is(")", "]"):
			if depth--; depth == 0 {
				return i
			}
		}
	}
	return -1
}

// readSide reads one side of an equality.
func readSide(expr []token) side {
	s := side{key: markerOf(expr)}
	if s.key >= 0 {
		return s
	}
	expr = bare(expr)
	for casts := splitAt(expr, "::"); len(casts) == 2; casts = splitAt(expr, "::") {
		s.casts = append(s.casts, join(casts[1]))
		expr = bare(casts[0])
	}
	if len(expr) == 3 && expr[0].identifies() && expr[1].is(".") && expr[2].identifies() {
		s.column = column{unquote(expr[0]), unquote(expr[2])}
	}
	return s
}

// markerOf is which column of the key an expression stands for: it has the marker in it, and no column. -1: none.
func markerOf(expr []token) int {
	key := -1
	for i, t := range expr {
		if index, is := strings.CutPrefix(t.text, postgres.KeyMarker); is && t.kind == literal {
			if n, err := strconv.Atoi(index); err == nil {
				key = n
			}
		}
		if t.is(".") && i > 0 && expr[i-1].identifies() && (i < 2 || !expr[i-2].is("::")) {
			return -1 // not the schema of a type
		}
	}
	return key
}

func join(expr []token) string {
	texts := make([]string, len(expr))
	for i, t := range expr {
		texts[i] = t.text
	}
	return strings.Join(texts, " ")
}

// unquote is the name that a token stands for.
func unquote(t token) string {
	if t.kind != name {
		return t.text
	}
	return strings.ReplaceAll(t.text[1:len(t.text)-1], `""`, `"`)
}
