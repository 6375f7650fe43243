package web

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/stokerhq/stoker/jobs"
)

// bodyShape is the next step of every error about a body.
const bodyShape = `send {"keys": [{"column": value}]}, {"where": {"column": value}} or {"all": true}, with "remove": true to ` +
	"drop instead of load"

// parseKeys reads the keys of a body. Each must give every key column of job
// and nothing else.
func parseKeys(job *jobs.Job, texts []json.RawMessage) ([]jobs.Key, error) {
	keys := make([]jobs.Key, len(texts))
	for i, text := range texts {
		var err error
		if keys[i], err = jobs.ParseKey(job, text); err != nil {
			return nil, fmt.Errorf("keys[%d] %w", i, err)
		}
	}
	return keys, nil
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
