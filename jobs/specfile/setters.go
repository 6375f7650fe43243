package specfile

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/jobs/specfile/connurl"
	"github.com/stokerhq/stoker/jobs/specfile/field"
	"github.com/stokerhq/stoker/jobs/specfile/spelling"
)

// single sets dst from a single value.
func single[T any](d *decoder, dst *T, parse func(string) (T, error)) field.Setter {
	return func(f field.Field, n *yaml.Node) {
		t, ok := d.text(f.Name, n)
		t.value = trimSecret[T](t.value)
		switch {
		case ok && t.value != "":
			set(d, dst, parse, f, n, t)
		case ok && !f.MayBeEmpty:
			d.problem(n, "give a value, or remove the field", "%s is empty%s", f.Name, whence(t))
		}
	}
}

// choice sets dst from one of the values of the field's type.
func choice[T ~string](d *decoder, dst *T) field.Setter {
	return func(f field.Field, n *yaml.Node) {
		single(d, dst, func(s string) (T, error) {
			v, err := oneOf(s, f.Type.Values)
			return T(v), err
		})(f, n)
	}
}

// boolean sets dst from a field of true or false.
func boolean(d *decoder, dst *bool) field.Setter { return either(d, dst, "true") }

// either sets dst to whether the value is on, of the two values of the field's type.
func either(d *decoder, dst *bool, on string) field.Setter {
	return func(f field.Field, n *yaml.Node) {
		single(d, dst, func(s string) (bool, error) {
			v, err := oneOf(s, f.Type.Values)
			return v == on, err
		})(f, n)
	}
}

// whole sets dst from a whole number. The hint says why others than those of the field's type are refused.
func whole(d *decoder, dst *int, hint string) field.Setter {
	return func(f field.Field, n *yaml.Node) {
		single(d, dst, func(s string) (int, error) { return parseWhole(s, f, hint) })(f, n)
	}
}

// trimSecret takes off the line break or blanks that a secret brings from a file,
// and leaves other texts as they are.
func trimSecret[T any](s string) string {
	var zero T
	if _, secret := any(zero).(jobs.Secret); secret {
		return trimBlanks(s)
	}
	return s
}

func set[T any](d *decoder, dst *T, parse func(string) (T, error), f field.Field, n *yaml.Node, t text) {
	v, err := parse(t.value)
	if err == nil && !f.Type.Takes(t.value) {
		err = wrong("is not "+f.Type.Words, "")
	}
	if err == nil {
		*dst = v
		return
	}
	if m, ok := errors.AsType[*jobs.Mistake](err); ok && connurl.NamesVariable(t.raw) {
		m.Hint = "write ${NAME} for an environment variable: the braces are needed"
	}
	_, secret := any(v).(jobs.Secret)
	secret = secret || strings.Contains(t.raw, "://") // a URL in the wrong place is as secret
	if m, ok := errors.AsType[*jobs.Mistake](err); ok && (secret || t.expanded) {
		m.Detail = "" // it may repeat the value
	}
	name := f.Name
	if !secret && len(t.raw) <= 80 {
		name = fmt.Sprintf("%s %q", name, t.raw)
	}
	d.invalid(n, name, err)
}

// whence explains an emptiness that the file does not show.
func whence(t text) string {
	if t.expanded {
		return " once the environment is put in"
	}
	return ""
}

// synonyms are what fields are called elsewhere.
var synonyms = map[string]string{
	"sql": "query", "statement": "query", "select": "query", "file": "query_file", "sql_file": "query_file",
	"cron": "schedule", "every": "schedule", "interval": "schedule", "refresh": "schedule", "tz": "time_zone",
	"expire": "ttl", "expires": "ttl", "expiry": "ttl", "expiration": "ttl", "max_age": "ttl", "lifetime": "ttl",
	"key_template": "key", "pattern": "key", "id": "name", "tables": "watch", "depends_on": "watch", "dsn": "url",
	"connection_string": "url", "database_url": "url", "uri": "url", "pool_size": "max_connections",
	"address": "listen", "port": "listen", "addr": "listen", "database": "postgres", "db": "postgres", "cache": "redis",
	"web": "admin", "http": "admin", "server": "admin", "queries": "jobs", "tasks": "jobs", "encoding": "format",
	"compression": "compress", "max_size": "max_value_bytes", "grace": "stale_grace", "password": "token",
}

// didYouMean returns a Hint: the name that s was probably meant to be, or all of
// them when none is near.
func didYouMean(s string, names []string) string {
	if best := synonym(s, names); best != "" {
		return `here it is "` + best + `"`
	}
	if best := spelling.Nearest(s, names); best != "" {
		return `did you mean "` + best + `"?`
	}
	return "known: " + strings.Join(names, ", ")
}

// synonym returns the field that s is another tool's word for, or "".
func synonym(s string, names []string) string {
	best := synonyms[strings.ToLower(strings.ReplaceAll(s, "-", "_"))]
	if !slices.Contains(names, best) {
		return ""
	}
	return best
}
