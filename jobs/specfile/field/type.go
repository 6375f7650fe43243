package field

import (
	"fmt"
	"strings"
)

// Form is the form of a value in YAML.
type Form int

// The forms.
const (
	Text    Form = iota // a single value, whatever YAML takes it for
	Whole               // a single value: a whole number from Min to Max
	Choice              // a single value: one of Values
	Mapping             // of the fields that Field.Fields lists
	Pairs               // a mapping whose names are free, and whose values are single
	List                // of Items, or of mappings where that is nil
)

// Type is what a field takes.
type Type struct {
	Form Form
	// Words say how a value is written, for people: "a duration, as in 30s, 5m, 2h or 1d".
	Words string
	// Pattern is what a text must match, in the syntax that RE2 and ECMAScript share; "" is any text. It may take
	// more than the parser does, never less.
	Pattern  string
	Values   []string
	Min, Max int
	// Zero allows a bare 0, which is a number in YAML.
	Zero bool
	// Secret is never printed; blanks around it are taken off.
	Secret bool
	Items  *Type
}

// OneOf is a choice.
func OneOf[T ~string](values ...T) Type {
	t := Type{Form: Choice}
	for _, v := range values {
		t.Values = append(t.Values, string(v))
	}
	t.Words = "one of " + strings.Join(t.Values, ", ")
	return t
}

// Number is a whole number.
func Number(from, to int) Type {
	return Type{Form: Whole, Min: from, Max: to, Words: fmt.Sprintf("a whole number from %d to %d", from, to)}
}

// ListOf is a list of single values.
func ListOf(items Type) Type {
	return Type{Form: List, Items: &items, Words: "a list: each item is " + items.Words}
}
