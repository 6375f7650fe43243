package specfile

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/jobs/specfile/connurl"
	"github.com/stokerhq/stoker/jobs/specfile/spelling"
)

// required sets dst from a field that may not be empty.
func required[T any](d *decoder, dst *T, parse func(string) (T, error)) setter {
	return func(name string, n *yaml.Node) {
		t, ok := d.text(name, n)
		t.value = trimSecret[T](t.value)
		if ok && t.value == "" {
			d.problem(n, "give a value, or remove the field", "%s is empty%s", name, whence(t))
		} else if ok {
			set(d, dst, parse, name, n, t)
		}
	}
}

// optional sets dst from a field that counts as not given when it is empty, as
// in queue_url: ${QUEUE_REDIS_URL:-}.
func optional[T any](d *decoder, dst *T, parse func(string) (T, error)) setter {
	return func(name string, n *yaml.Node) {
		t, ok := d.text(name, n)
		t.value = trimSecret[T](t.value)
		if ok && t.value != "" {
			set(d, dst, parse, name, n, t)
		}
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

func set[T any](d *decoder, dst *T, parse func(string) (T, error), name string, n *yaml.Node, t text) {
	v, err := parse(t.value)
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
