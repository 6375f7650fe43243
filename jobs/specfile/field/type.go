package field

import (
	"fmt"
	"regexp"
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
	// Pattern is what a text must match, and Never what it must not; nil is any text, and none. They are of the
	// syntax that RE2 and ECMAScript share (no \s, no lookahead). The decoder holds a value to them besides its
	// parser, so that an editor never marks what Stoker takes.
	Pattern, Never *regexp.Regexp
	Values         []string // of a Choice
	Min, Max       int      // of a Whole; Min is also the least of a Text that is written as a number
	Zero           bool     // a bare 0 will do, which is a number in YAML
	Secret         bool     // never printed, and blanks around it are taken off
	Items          *Type    // of a List of single values
	NotEmpty       bool     // of a List
}

// Takes reports whether a text matches the type's patterns.
func (t Type) Takes(s string) bool {
	return (t.Pattern == nil || t.Pattern.MatchString(s)) && (t.Never == nil || !t.Never.MatchString(s))
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
	return Type{Form: List, Items: &items, Words: "a list, each item " + items.Words}
}

// Some is the type of a list or mapping that may not be empty.
func (t Type) Some() Type {
	t.NotEmpty = true
	return t
}
