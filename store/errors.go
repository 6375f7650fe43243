package store

import (
	"errors"
	"fmt"
	"strings"
)

// QueryError is Postgres' answer to a job's query that it refused.
type QueryError struct {
	Job      string
	SQLState string // five characters, as in Postgres' appendix A
	Message  string
	Detail   string
	Hint     string
	Line     int  // in the job's query, from 1; 0 when Postgres named no position
	Col      int  // in characters, from 1
	Writes   bool // the query does what a READ ONLY transaction refuses
	Err      error
}

func (e *QueryError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "query of job %s: %s (SQLSTATE %s)", e.Job, e.Message, e.SQLState)
	if e.Line > 0 {
		fmt.Fprintf(&b, " at line %d, column %d of the query", e.Line, e.Col)
	}
	if e.Detail != "" {
		fmt.Fprintf(&b, "; detail: %s", e.Detail)
	}
	if e.Hint != "" {
		fmt.Fprintf(&b, "; hint: %s", e.Hint)
	}
	return b.String()
}

func (e *QueryError) Unwrap() error { return e.Err }

// Permanent reports whether asking again cannot help: the query itself, a right
// or a value is wrong (classes 22, 28, 3D, 3F, 42 and 0A), or the query writes.
func (e *QueryError) Permanent() bool {
	if e.Writes {
		return true
	}
	switch e.SQLState[:min(2, len(e.SQLState))] {
	case "22", "28", "3D", "3F", "42", "0A":
		return true
	}
	return false
}

// KeyValueError says that a value given for a key column does not fit its type.
type KeyValueError struct {
	Job     string
	Column  string
	Type    string // of the column, as SQL names it
	Value   string
	Message string // Postgres' own words
	Cut     bool   // the type takes the value, but not as it is
	Where   bool   // it was given in a condition, whose columns need be no key columns
}

func (e *KeyValueError) Error() string {
	column := "key column"
	if e.Where {
		column = "column"
	}
	return fmt.Sprintf("job %s: value %q does not fit %s %s of type %s: %s", e.Job, e.Value, column, e.Column, e.Type,
		e.Message)
}

// ShapeError says that a job's query does not fit the job: a key column it does
// not return, a scalar with two values.
type ShapeError struct {
	Job     string
	Message string
}

func (e *ShapeError) Error() string { return fmt.Sprintf("job %s: %s", e.Job, e.Message) }

// Permanent reports whether err is one that asking again cannot mend: a wrong
// query, a value or a shape that does not fit.
func Permanent(err error) bool {
	if q, ok := errors.AsType[*QueryError](err); ok {
		return q.Permanent()
	}
	if _, ok := errors.AsType[*ShapeError](err); ok {
		return true
	}
	_, ok := errors.AsType[*KeyValueError](err)
	return ok
}
