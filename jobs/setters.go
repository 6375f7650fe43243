package jobs

import (
	"errors"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"
)

// required sets dst from a field that may not be empty.
func required[T any](d *decoder, dst *T, parse func(string) (T, error)) setter {
	return func(name string, n *yaml.Node) {
		if t, ok := d.text(name, n); ok && t.value == "" {
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
		if t, ok := d.text(name, n); ok && t.value != "" {
			set(d, dst, parse, name, n, t)
		}
	}
}

func set[T any](d *decoder, dst *T, parse func(string) (T, error), name string, n *yaml.Node, t text) {
	v, err := parse(t.value)
	if err == nil {
		*dst = v
		return
	}
	_, secret := any(v).(Secret)
	secret = secret || strings.Contains(t.raw, "://") // a URL in the wrong place is as secret
	if m, ok := errors.AsType[*mistake](err); ok && (secret || t.expanded) {
		m.detail = "" // it may repeat the value
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
