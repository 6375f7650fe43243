package specfile

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"

	"go.yaml.in/yaml/v3"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/jobs/specfile/field"
	"github.com/stokerhq/stoker/jobs/specfile/spelling"
)

// decoder turns YAML nodes into a Spec. It goes on after a mistake, so that all
// of them are found at once. (The yaml package's own decoding into structs knows
// no columns, and loses its strictness inside custom unmarshalers.)
type decoder struct {
	file     string
	lookup   func(string) (string, bool)
	root     *os.Root // the spec's folder, for query_file
	files    *Files   // that were read
	drivers  Drivers
	notes    jobs.Problems // nothing that is wrong for sure: warnings of the spec
	problems jobs.Problems
	keys     map[*yaml.Node]*yaml.Node // :: value of a field -> its name
}

func (d *decoder) problem(n *yaml.Node, hint, format string, args ...any) {
	d.problems = append(d.problems, jobs.Problem{File: d.file, Line: n.Line, Col: n.Column,
		Message: fmt.Sprintf(format, args...), Hint: hint})
}

// fields reads a mapping by the table of its fields and returns the value nodes of those
// given. It is nil when n is no mapping, and then nothing can be said to be missing.
func (d *decoder) fields(n *yaml.Node, what string, table []field.Field) map[string]*yaml.Node {
	pairs, ok := d.pairs(n, what)
	if !ok {
		return nil
	}
	given := map[string]*yaml.Node{}
	names := slices.Sorted(slices.Values(field.Names(table)))
	for _, p := range pairs {
		if f, known := field.Find(table, p.name); known {
			given[p.name] = p.value
			f.Set(f, p.value)
		} else {
			d.problem(p.key, didYouMean(p.name, names), "unknown field %q in %s", p.name, what)
		}
	}
	// A misspelt field is not missing as well.
	for _, p := range pairs {
		meant := synonym(p.name, names)
		if meant == "schedule" || meant == "watch" { // whose values are written otherwise elsewhere
			continue
		}
		meant = cmp.Or(meant, spelling.Nearest(p.name, names))
		if given[p.name] == nil && meant != "" && given[meant] == nil {
			given[meant] = p.value
		}
	}
	for _, f := range table {
		if f.Missing != "" && given[f.Name] == nil && given[f.Or] == nil {
			d.missing(n, f.Missing, what, f.Name)
		}
	}
	return given
}

// missing reports a field that a mapping should have: where its name stands, as editors do, or where it begins.
func (d *decoder) missing(n *yaml.Node, hint, what, name string) {
	if key := d.keys[n]; key != nil {
		n = key
	}
	d.problem(n, hint, "%s has no %s", what, name)
}

// pair is one entry of a mapping.
type pair struct {
	name       string
	key, value *yaml.Node
}

// pairs returns the entries of a mapping in the order of the file, without
// those whose name is wrong or was there before. Nothing at all ("defaults:"
// and only comments under it) is an empty mapping.
func (d *decoder) pairs(n *yaml.Node, what string) ([]pair, bool) {
	n, ok := d.resolve(n)
	if !ok {
		return nil, false
	}
	if n.ShortTag() == "!!null" {
		return nil, true
	}
	if n.Kind != yaml.MappingNode {
		d.problem(n, "write it as lines of name: value", "%s must be a mapping, not %s", what, kindOf(n))
		return nil, false
	}
	var pairs []pair
	lines := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		switch line := lines[key.Value]; {
		case key.ShortTag() == "!!merge":
			d.problem(key, "repeat the fields, or put them in defaults", "merge keys (<<) are not supported")
		case key.Kind != yaml.ScalarNode:
			d.problem(key, "", "a field name must be plain text, not %s", kindOf(key))
		case line > 0:
			d.problem(key, fmt.Sprintf("the other is in line %d", line), "field %q is given twice in %s", key.Value,
				what)
		default:
			lines[key.Value] = key.Line
			d.keys[value] = key
			pairs = append(pairs, pair{key.Value, key, value})
		}
	}
	return pairs, true
}

// list returns the items of a sequence. Nothing at all is an empty one.
func (d *decoder) list(name string, n *yaml.Node) ([]*yaml.Node, bool) {
	n, ok := d.resolve(n)
	switch {
	case !ok:
		return nil, false
	case n.ShortTag() == "!!null":
		return nil, true
	case n.Kind != yaml.SequenceNode:
		d.problem(n, "begin each item with - ", "%s must be a list, not %s", name, kindOf(n))
		return nil, false
	}
	return n.Content, true
}

// text is a scalar, as written and with the environment put in.
type text struct {
	raw, value string
	expanded   bool // the value may hold a secret; only raw may be shown
}

// text reads a scalar. Its YAML type does not matter ("no" and 0123 stay as
// written): what the field wants decides. Nothing at all is the empty text.
func (d *decoder) text(name string, n *yaml.Node) (text, bool) {
	n, ok := d.resolve(n)
	if !ok {
		return text{}, false
	}
	if n.Kind != yaml.ScalarNode {
		hint := ""
		if n.Style&yaml.FlowStyle != 0 {
			hint = `a value that begins with { or [ needs quotes`
		}
		d.problem(n, hint, "%s must be a single value, not %s", name, kindOf(n))
		return text{}, false
	}
	if n.ShortTag() == "!!null" {
		return text{}, true
	}
	value, used, mistakes := expand(n.Value, d.lookup)
	d.noteEmpty(name, n, value)
	for _, m := range mistakes {
		d.invalid(n, name, m)
	}
	return text{n.Value, value, used}, mistakes == nil
}

// bareVariable matches ${NAME}, which has no default.
var bareVariable = regexp.MustCompile(`(?:^|[^$])\$\{([A-Za-z_][A-Za-z0-9_]*)\}`)

// noteEmpty warns of a variable that is set and empty in the middle of a value, which then
// lacks its host or its password. A value that is empty as a whole has its own problem.
func (d *decoder) noteEmpty(name string, n *yaml.Node, value string) {
	if value == "" {
		return
	}
	for _, m := range bareVariable.FindAllStringSubmatch(n.Value, -1) {
		if found, set := d.lookup(m[1]); set && trimBlanks(found) == "" {
			d.notes = append(d.notes, jobs.Problem{File: d.file, Line: n.Line, Col: n.Column,
				Message: fmt.Sprintf("%s: the environment variable %s is empty", name, m[1]),
				Hint:    "set it, or write ${" + m[1] + ":-} if it may be"})
		}
	}
}

// resolve follows an alias. An anchored value with an alias in it is refused: it
// may hold itself, and a few lines of them can stand for billions.
func (d *decoder) resolve(n *yaml.Node) (*yaml.Node, bool) {
	if n.Kind == yaml.AliasNode {
		if holdsAlias(n.Alias) {
			d.problem(n, "repeat the value", "the value of *%s holds an alias itself", n.Value)
			return nil, false
		}
		n = n.Alias
	}
	if n.Style&yaml.TaggedStyle != 0 {
		d.problem(n, "put text that begins with ! in quotes, or remove the tag", "YAML tags are not supported")
		return nil, false
	}
	return n, true
}

func holdsAlias(n *yaml.Node) bool {
	return n.Kind == yaml.AliasNode || slices.ContainsFunc(n.Content, holdsAlias)
}

// invalid reports what is wrong with the value of a field.
func (d *decoder) invalid(n *yaml.Node, name string, err error) {
	m, ok := errors.AsType[*jobs.Mistake](err)
	if !ok {
		m = &jobs.Mistake{Message: "is wrong", Detail: err.Error()}
	}
	message := name + " " + m.Message
	if m.Detail != "" {
		message += ": " + m.Detail
	}
	d.problem(n, m.Hint, "%s", message)
}

func kindOf(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	case yaml.AliasNode:
		return "an alias"
	}
	return "a single value"
}

// wrong returns a mistake with the step that mends it.
func wrong(message, hint string) error { return &jobs.Mistake{Message: message, Hint: hint} }
