package specfile

import (
	"errors"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/stokerhq/stoker/jobs"
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

// didYouMean returns a Hint: the name that s was probably meant to be, or all of
// them when none is near.
func didYouMean(s string, names []string) string {
	if best := nearest(s, names); best != "" {
		return `did you mean "` + best + `"?`
	}
	return "known: " + strings.Join(names, ", ")
}

// nearest returns the name that s was probably meant to be, or "".
func nearest(s string, names []string) string {
	best, bestDistance := "", len(s)/3+2
	for _, name := range names {
		if d := distance(strings.ToLower(s), name); d < bestDistance {
			best, bestDistance = name, d
		}
	}
	return best
}

// distance counts the letters to add, drop or change between a and b.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
