package show

import "io"

// Colour is one of the few that verdicts need.
type Colour string

// The colours, as terminals number them.
const (
	Red    Colour = "31"
	Green  Colour = "32"
	Yellow Colour = "33"
	Dim    Colour = "2"
)

// Painter returns a function that colours text on a terminal, and leaves it
// alone elsewhere or where NO_COLOR is set (https://no-color.org).
func Painter(out io.Writer, lookup func(string) (string, bool)) func(Colour, string) string {
	if v, set := lookup("NO_COLOR"); set && v != "" || !IsTerminal(out) {
		return func(_ Colour, s string) string { return s }
	}
	return func(c Colour, s string) string { return "\x1b[" + string(c) + "m" + s + "\x1b[0m" }
}
