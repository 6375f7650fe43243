package encode

import "strconv"

// WireError says that bytes are not what Postgres sends for their type: the
// connection, the driver or this package is wrong, and asking again cannot help.
type WireError struct {
	Type    string // as SQL names it: "numeric", "int4[]"
	Problem string
}

func (e *WireError) Error() string { return "malformed " + e.Type + ": " + e.Problem }

// malformed is kept out of line, so that the decoders stay small where the
// bytes are right.
//
//go:noinline
func malformed(typ, problem string) error {
	return &WireError{Type: typ, Problem: problem}
}

//go:noinline
func wrongLength(typ string, want int, raw []byte) error {
	return malformed(typ, strconv.Itoa(len(raw))+" bytes, not "+strconv.Itoa(want))
}

// columnError adds the column to the failure of one of its values.
type columnError struct {
	column string
	err    error
}

func (e *columnError) Error() string {
	return "column " + strconv.Quote(e.column) + ": " + e.err.Error()
}
func (e *columnError) Unwrap() error { return e.err }
