package web

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/stokerhq/stoker/jobs"
)

// bodyShape is the next step of every error about a body.
const bodyShape = `send {"keys": [{"column": value}]} or {"all": true}, with "remove": true to drop instead of load`

// parseKeys reads the keys of a body. Each must give every key column of job
// and nothing else.
func parseKeys(job *jobs.Job, texts []json.RawMessage) ([]jobs.Key, error) {
	columns := job.Key.Columns()
	keys := make([]jobs.Key, len(texts))
	for i, text := range texts {
		key, err := parseKey(text)
		if err != nil {
			return nil, fmt.Errorf("keys[%d]%w", i, err)
		}
		if err := checkColumns(key, columns); err != nil {
			return nil, fmt.Errorf("keys[%d] %w: %s", i, err, wantColumns(job, columns))
		}
		keys[i] = key
	}
	return keys, nil
}

func checkColumns(key jobs.Key, columns []string) error {
	for _, column := range columns {
		if _, ok := key[column]; !ok {
			return fmt.Errorf("lacks %s", column)
		}
	}
	for column := range key {
		if !slices.Contains(columns, column) {
			return fmt.Errorf("has %q, which is no key column", column)
		}
	}
	return nil
}

func wantColumns(job *jobs.Job, columns []string) string {
	if len(columns) == 0 {
		return fmt.Sprintf("job %s has the one key %s, so give {}", job.Name, job.Key)
	}
	return fmt.Sprintf("the key of job %s is %s, so give %s", job.Name, job.Key, strings.Join(columns, ", "))
}

// parseKey reads one object of column and scalar. It goes by tokens because
// encoding/json would take a column given twice silently, and because a number
// must keep every digit that was sent.
func parseKey(text []byte) (jobs.Key, error) {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil, fmt.Errorf(" is %s: a key is an object, as {\"column\": value}", shorten(text))
	}
	key := jobs.Key{}
	for dec.More() {
		t, err := dec.Token()
		if err != nil {
			return nil, fmt.Errorf(": %w", err)
		}
		column, _ := t.(string) // the name of a member is a string, or Token fails
		if _, twice := key[column]; twice {
			return nil, fmt.Errorf(" gives %s twice: give each column once", column)
		}
		value, err := dec.Token()
		if err != nil {
			return nil, fmt.Errorf(": %w", err)
		}
		if key[column], err = scalarText(value); err != nil {
			return nil, fmt.Errorf(".%s %w", column, err)
		}
	}
	return key, nil
}

func scalarText(value json.Token) (string, error) {
	switch v := value.(type) {
	case string:
		return v, nil
	case json.Number:
		return v.String(), nil
	case bool:
		return strconv.FormatBool(v), nil
	case nil:
		return "", errors.New("is null: a row with NULL in a key column has no key, so leave this key out")
	}
	return "", errors.New("is an object or an array: give a string, a number or a boolean")
}

// describeJSON says where a body is wrong.
func describeJSON(text []byte, err error) error {
	if len(bytes.TrimSpace(text)) == 0 {
		return errors.New("the body is empty: " + bodyShape)
	}
	if e, ok := errors.AsType[*json.SyntaxError](err); ok {
		line, col := position(text, e.Offset)
		return fmt.Errorf("the body is not JSON at line %d, column %d: %w", line, col, err)
	}
	if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		field := `"` + e.Field + `"`
		if e.Field == "" {
			field = "the body"
		}
		return fmt.Errorf("%s cannot be of type %s: %s", field, e.Value, bodyShape)
	}
	return fmt.Errorf("the body is not right, %s: %s", strings.TrimPrefix(err.Error(), "json: "), bodyShape)
}

// position turns a count of bytes read into a line and a column, both from 1.
func position(text []byte, offset int64) (line, col int) {
	read := text[:min(max(int(offset)-1, 0), len(text))]
	line = 1 + bytes.Count(read, []byte("\n"))
	return line, len(read) - bytes.LastIndexByte(read, '\n')
}

func shorten(text []byte) string {
	const most = 40
	if len(text) > most {
		return strings.ToValidUTF8(string(text[:most]), "") + "…"
	}
	return string(text)
}
