package main

import (
	"strings"

	"github.com/stokerhq/stoker/jobs"
)

// parseKeyArg reads one key, column=value[,column=value...]. A value in double
// quotes may hold commas; a quote in it is written twice.
func parseKeyArg(job *jobs.Job, arg string) (jobs.Key, error) {
	key, rest := jobs.Key{}, arg
	for {
		column, after, ok := strings.Cut(rest, "=")
		if !ok {
			return nil, wrong("key %q: %q is not column=value; job %s takes %s", arg, rest, job.Name, keyForm(job))
		}
		if _, twice := key[column]; twice {
			return nil, wrong("key %q: column %s is there twice", arg, column)
		}
		value, more, err := cutValue(arg, after)
		if err != nil {
			return nil, err
		}
		key[column] = value
		if more == nil {
			break
		}
		rest = *more
	}
	if err := jobs.CheckKey(job, key); err != nil {
		return nil, wrong("key %q %w", arg, err)
	}
	return key, nil
}

// cutValue splits a value from the columns that follow it; more is nil at the
// end.
func cutValue(arg, s string) (value string, more *string, err error) {
	if !strings.HasPrefix(s, `"`) {
		value, rest, ok := strings.Cut(s, ",")
		if !ok {
			return value, nil, nil
		}
		return value, &rest, nil
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] != '"':
			b.WriteByte(s[i])
		case strings.HasPrefix(s[i+1:], `"`):
			b.WriteByte('"')
			i++
		case i+1 == len(s):
			return b.String(), nil, nil
		case s[i+1] == ',':
			rest := s[i+2:]
			return b.String(), &rest, nil
		default:
			return "", nil, wrong("key %q: after the closing quote comes %q, not a comma", arg, s[i+1:])
		}
	}
	return "", nil, wrong("key %q: a quote is not closed", arg)
}

// keyForm shows how a key of the job is written.
func keyForm(job *jobs.Job) string {
	columns := job.Key.Columns()
	if len(columns) == 0 {
		return "no columns: its one key is " + job.Key.String()
	}
	return strings.Join(columns, "=...,") + "=..."
}
