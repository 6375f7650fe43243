package jobs

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Where names rows by what their columns hold: a row is meant if it has, in every column that is named, one of
// the values that are given for it. Values are text that Postgres can cast to the column's type; its own equality
// compares them. A task never carries a Where, and SQL never carries its values: they are bound as parameters.
type Where map[string][]string

// MaxWhereValues is how many values a Where has at most.
const MaxWhereValues = 1000

// ParseWhere reads conditions as they are written in a command: column=value, each. A column that comes again
// gives it a further value; different columns must all hold. All that follows the first = is the value, with
// commas and spaces.
func ParseWhere(conditions []string) (Where, error) {
	where := Where{}
	for _, text := range conditions {
		column, value, ok := strings.Cut(text, "=")
		if !ok || column == "" {
			return nil, fmt.Errorf("%q is not column=value: name a column of the job's query, as in category=books",
				text)
		}
		where[column] = append(where[column], value)
	}
	return where, where.Validate()
}

// Columns returns the named columns, in order of the alphabet.
func (w Where) Columns() []string { return slices.Sorted(maps.Keys(w)) }

// String writes the condition for logs and errors.
func (w Where) String() string {
	var parts []string
	for _, column := range w.Columns() {
		parts = append(parts, column+"="+strings.Join(w[column], "|"))
	}
	return strings.Join(parts, " and ")
}

// Validate reports what keeps the condition from being asked of any job.
func (w Where) Validate() error {
	if len(w) == 0 {
		return errors.New("no column is named: give at least one, as in category=books")
	}
	values := 0
	for _, column := range w.Columns() {
		if column == "" {
			return errors.New("a column has no name: name a column of the job's query")
		}
		if len(w[column]) == 0 {
			return fmt.Errorf("column %s has no value: give at least one", column)
		}
		values += len(w[column])
		for _, v := range append([]string{column}, w[column]...) {
			if !utf8.ValidString(v) || strings.ContainsRune(v, 0) {
				return fmt.Errorf("column %q: %q is no text that Postgres knows", column, v)
			}
		}
	}
	if values > MaxWhereValues {
		return fmt.Errorf("%d values are more than the %d that one call takes: send fewer at a time", values,
			MaxWhereValues)
	}
	return nil
}

// UnmarshalJSON reads {"category": "books", "supplier": [7, 8]}. A number keeps every digit that was sent.
//
// It reads tokens because encoding/json takes a column that is given twice without an error.
func (w *Where) UnmarshalJSON(text []byte) error {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return fmt.Errorf(`a condition is an object, as {"column": value}: this is %s`, shorten(text))
	}
	*w = Where{}
	for dec.More() {
		t, err := dec.Token()
		if err != nil {
			return fmt.Errorf("it is no JSON: %w", err)
		}
		column, _ := t.(string) // Token returns an error for a name that is no string
		if _, twice := (*w)[column]; twice {
			return fmt.Errorf("it gives %s twice: give several values as an array", column)
		}
		if (*w)[column], err = whereValues(dec, column); err != nil {
			return err
		}
	}
	if _, err := dec.Token(); err != nil {
		return fmt.Errorf("it is no complete JSON object: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("it has something after the object: give one object")
	}
	return w.Validate()
}

// whereValues reads one value, or an array of them.
func whereValues(dec *json.Decoder, column string) (values []string, err error) {
	t, err := dec.Token()
	if err != nil {
		return nil, fmt.Errorf("it is no JSON: %w", err)
	}
	if t != json.Delim('[') {
		value, err := whereValue(t, column)
		return []string{value}, err
	}
	values = []string{}
	for dec.More() {
		if t, err = dec.Token(); err != nil {
			return nil, fmt.Errorf("it is no JSON: %w", err)
		}
		value, err := whereValue(t, column)
		if err != nil {
			return nil, err
		}
		values = append(values, value)
	}
	_, err = dec.Token()
	return values, err
}

func whereValue(t json.Token, column string) (string, error) {
	switch v := t.(type) {
	case string:
		return v, nil
	case json.Number:
		return v.String(), nil
	case bool:
		return strconv.FormatBool(v), nil
	case nil:
		return "", fmt.Errorf("it has null as %s: rows are not found by NULL, which equals nothing", column)
	}
	return "", fmt.Errorf("it has an object as %s, or an array in an array: give strings, numbers or booleans", column)
}

// NoColumnError says that a job's query does not return a column that a Where names.
type NoColumnError struct {
	Job    string
	Column string
	Has    []string // the columns that it returns
}

func (e *NoColumnError) Error() string {
	hint := ""
	if i := slices.IndexFunc(e.Has, func(n string) bool { return strings.EqualFold(n, e.Column) }); i >= 0 {
		hint = "; upper and lower case count: write " + e.Has[i]
	}
	return fmt.Sprintf("job %s: its query returns no column %q; it returns: %s%s", e.Job, e.Column,
		strings.Join(e.Has, ", "), hint)
}
