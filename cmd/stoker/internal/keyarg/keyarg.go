// Package keyarg reads keys of a job as they are written in a command.
package keyarg

import (
	"fmt"
	"strings"

	"github.com/stokerhq/stoker/jobs"
)

// Parse reads the keys that the arguments of a command name, one each.
func Parse(job *jobs.Job, args []string) ([]jobs.Key, error) {
	if len(job.Key.Columns()) == 0 {
		if len(args) > 0 {
			return nil, fmt.Errorf("job %s takes %s", job.Name, Form(job))
		}
		return []jobs.Key{{}}, nil
	}
	if len(args) == 0 {
		return nil, fmt.Errorf("name the keys of job %s as %s, or give --where column=value or --all", job.Name,
			Form(job))
	}
	keys := make([]jobs.Key, len(args))
	for i, arg := range args {
		var err error
		if keys[i], err = parse(job, arg); err != nil {
			return nil, err
		}
	}
	return keys, nil
}

// parse reads one key, column=value[,column=value...]. A value in double
// quotes may hold commas; a quote in it is written twice.
func parse(job *jobs.Job, arg string) (jobs.Key, error) {
	key, rest := jobs.Key{}, arg
	for {
		column, after, ok := strings.Cut(rest, "=")
		if !ok {
			return nil, fmt.Errorf("key %q: %q is not column=value; job %s takes %s", arg, rest, job.Name, Form(job))
		}
		if _, twice := key[column]; twice {
			return nil, fmt.Errorf("key %q: column %s is there twice", arg, column)
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
		return nil, fmt.Errorf("key %q %w", arg, err)
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
			return "", nil, fmt.Errorf("key %q: after the closing quote comes %q, not a comma", arg, s[i+1:])
		}
	}
	return "", nil, fmt.Errorf("key %q: a quote is not closed", arg)
}

// Form shows how a key of the job is written.
func Form(job *jobs.Job) string {
	columns := job.Key.Columns()
	if len(columns) == 0 {
		return "no columns: its one key is " + job.Key.String()
	}
	return strings.Join(columns, "=...,") + "=..."
}
