package jobs

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// ParseKey reads one key of the job from a JSON object of columns and scalars, as {"id": 42}. A number
// keeps every digit that was sent. Every key column must be given once, and nothing else. The error
// begins with a verb, whose subject is the key: "lacks id: ...".
//
// It reads tokens because encoding/json takes a column that is given twice without an error.
func ParseKey(job *Job, text []byte) (Key, error) {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil, fmt.Errorf("is %s: a key is an object, as {\"column\": value}", shorten(text))
	}
	key := Key{}
	for dec.More() {
		column, value, err := member(dec)
		if err != nil {
			return nil, err
		}
		if _, twice := key[column]; twice {
			return nil, fmt.Errorf("gives %s twice: give each column once", column)
		}
		key[column] = value
	}
	if _, err := dec.Token(); err != nil {
		return nil, fmt.Errorf("is no complete JSON object: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("has something after the object: give one object")
	}
	return key, CheckKey(job, key)
}

// member reads a column and its value.
func member(dec *json.Decoder) (column, text string, err error) {
	t, err := dec.Token()
	if err != nil {
		return "", "", fmt.Errorf("is no JSON: %w", err)
	}
	column, _ = t.(string) // Token returns an error for a name that is no string
	value, err := dec.Token()
	if err != nil {
		return "", "", fmt.Errorf("is no JSON: %w", err)
	}
	switch v := value.(type) {
	case string:
		return column, v, nil
	case json.Number:
		return column, v.String(), nil
	case bool:
		return column, strconv.FormatBool(v), nil
	case nil:
		return "", "", fmt.Errorf("has null as %s: a row with NULL in a key column has no key, so leave this key out",
			column)
	}
	return "", "", fmt.Errorf("has an object or an array as %s: give a string, a number or a boolean", column)
}

// CheckKey reports whether a key gives every key column of the job and nothing else. The error begins
// with a verb, as ParseKey's.
func CheckKey(job *Job, key Key) error {
	columns := job.Key.Columns()
	for _, column := range columns {
		if _, ok := key[column]; !ok {
			return fmt.Errorf("lacks %s: %s", column, wantColumns(job, columns))
		}
	}
	for column := range key {
		if !slices.Contains(columns, column) {
			return fmt.Errorf("has %q, which is no key column: %s", column, wantColumns(job, columns))
		}
	}
	return nil
}

func wantColumns(job *Job, columns []string) string {
	if len(columns) == 0 {
		return fmt.Sprintf("job %s has the one key %s, without columns", job.Name, job.Key)
	}
	return fmt.Sprintf("the key of job %s is %s, so give %s", job.Name, job.Key, strings.Join(columns, ", "))
}

func shorten(text []byte) string {
	const most = 40
	if len(text) > most {
		return strings.ToValidUTF8(string(text[:most]), "") + "…"
	}
	return string(text)
}
