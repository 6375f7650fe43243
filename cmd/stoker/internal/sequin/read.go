// Package sequin translates a sequin.yaml: what Sequin's Redis string sinks did becomes jobs, and what cannot is
// refused at its line.
//
//	sequin.yaml ─► read (sinks, functions) ─► translate (tables and SQL, by Postgres) ─► stoker.yaml
package sequin

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/stokerhq/stoker/jobs"
)

// sink is a Redis string sink, as far as the file says it.
type sink struct {
	name   string
	tables []*yaml.Node // names
	// value is what a key holds: recordValue or enrichmentValue.
	value      string
	expire     time.Duration // 0: never
	route      *route        // nil: Sequin's own key
	enrichment *yaml.Node    // SQL
	at         *yaml.Node
}

// What a key holds.
const (
	recordValue     = "record"
	enrichmentValue = "metadata.enrichment"
)

// reader reads a file and collects its problems.
type reader struct {
	file      string
	lookup    func(string) (string, bool)
	problems  jobs.Problems
	functions map[string]*yaml.Node // :: name -> its mapping
	databases []string
	used      string // the database of the sinks so far
	redis     string // the Redis of the sinks so far
	sinks     []sink
}

func (r *reader) refuse(at *yaml.Node, hint, format string, args ...any) {
	r.problems = append(r.problems, jobs.Problem{File: r.file, Line: at.Line, Col: at.Column,
		Message: fmt.Sprintf(format, args...), Hint: hint})
}

// largest is how many bytes a sequin.yaml may have.
const largest = 4 << 20

// read reads the file. What is missing in it is a problem, too.
func (r *reader) read(data []byte) {
	var document yaml.Node
	if len(data) > largest {
		r.refuse(&yaml.Node{Line: 1, Column: 1}, "name a sequin.yaml", "the file has %d bytes", len(data))
		return
	}
	if err := yaml.Unmarshal(data, &document); err != nil || len(document.Content) != 1 ||
		document.Content[0].Kind != yaml.MappingNode {
		r.refuse(&yaml.Node{Line: lineOf(err), Column: 1}, "name a sequin.yaml", "this is not a YAML mapping: %v",
			unlocated(err))
		return
	}
	root := document.Content[0]
	r.functions = make(map[string]*yaml.Node)
	r.fields(root, map[string]func(*yaml.Node){
		"databases":         r.readDatabases,
		"functions":         r.readFunctions,
		"transforms":        r.readFunctions,
		"change_retentions": r.no("it keeps a history in a table, which is no cache", "keep it in Sequin"),
		"sinks":             ignore, // once the functions are known
		"account":           ignore, "users": ignore, "api_tokens": ignore, "http_endpoints": ignore,
	})
	r.fields(root, map[string]func(*yaml.Node){"sinks": r.readSinks, "*": ignore})
	if len(r.sinks) == 0 && len(r.problems) == 0 {
		r.refuse(root, "a sink with destination.type: redis_string is what can be translated",
			"the file has no active Redis string sink")
	}
}

func lineOf(err error) int {
	if err != nil {
		_, rest, _ := strings.Cut(err.Error(), "line ")
		number, _, _ := strings.Cut(rest, ":")
		if n, err := strconv.Atoi(number); err == nil {
			return n
		}
	}
	return 1
}

// unlocated is a YAML error without its place, which the problem has.
func unlocated(err error) error {
	if err == nil {
		return errors.New("it is empty, or a list")
	}
	_, message, _ := strings.Cut(err.Error(), "line ")
	_, message, found := strings.Cut(message, ": ")
	if !found {
		return err
	}
	return errors.New(message)
}

func ignore(*yaml.Node) {}

// no refuses a field.
func (r *reader) no(why, hint string) func(*yaml.Node) {
	return func(n *yaml.Node) {
		if n.Kind == yaml.SequenceNode && len(n.Content) == 0 || n.Tag == "!!null" {
			return
		}
		r.refuse(n, hint, "%s", why)
	}
}

// fields hands each field of a mapping to its function. One that is not known is refused, unless "*" takes it.
func (r *reader) fields(n *yaml.Node, known map[string]func(*yaml.Node)) {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if n.Kind != yaml.MappingNode {
		r.refuse(n, "", "this is not a mapping")
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		name, value := n.Content[i], n.Content[i+1]
		read, is := known[name.Value]
		if !is {
			read, is = known["*"]
		}
		if !is {
			r.refuse(name, "Stoker has nothing of that kind: take it out if it does not matter to the values",
				"field %q is not understood", name.Value)
			continue
		}
		if value.Kind == yaml.AliasNode {
			value = value.Alias
		}
		read(value)
	}
}

// each calls read with each item of a list.
func (r *reader) each(n *yaml.Node, read func(*yaml.Node)) {
	if n.Kind != yaml.SequenceNode {
		r.refuse(n, "", "this is not a list")
		return
	}
	for _, item := range n.Content {
		read(item)
	}
}

// text is a scalar, with variables of the environment in their places.
func (r *reader) text(n *yaml.Node) string {
	if n.Kind != yaml.ScalarNode {
		r.refuse(n, "", "this is not a text")
		return ""
	}
	var b strings.Builder
	for rest := n.Value; ; {
		before, after, found := strings.Cut(rest, "${")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		name, tail, closed := strings.Cut(after, "}")
		if !closed {
			return n.Value
		}
		name, fallback, has := strings.Cut(name, ":-")
		value, set := r.lookup(name)
		if !set && !has {
			r.refuse(n, "set it", "the variable %s is not set", name)
		}
		if value == "" {
			value = fallback
		}
		b.WriteString(value)
		rest = tail
	}
}

// into returns a function that reads a scalar into a variable.
func (r *reader) into(to *string) func(*yaml.Node) { return func(n *yaml.Node) { *to = r.text(n) } }

func (r *reader) readDatabases(n *yaml.Node) {
	r.each(n, func(n *yaml.Node) {
		var name string
		r.fields(n, map[string]func(*yaml.Node){"name": r.into(&name), "*": ignore})
		r.databases = append(r.databases, name)
	})
}

func (r *reader) readFunctions(n *yaml.Node) {
	r.each(n, func(n *yaml.Node) {
		var name string
		r.fields(n, map[string]func(*yaml.Node){"name": r.into(&name), "*": ignore})
		if r.functions[name] != nil {
			r.refuse(n, "", "a second function named %q", name)
		}
		r.functions[name] = n
	})
}

// readActions: a cache that is not told of a delete holds what is gone, and Stoker's never does.
func (r *reader) readActions(n *yaml.Node) {
	var list []string
	r.each(n, func(n *yaml.Node) { list = append(list, r.text(n)) })
	for _, action := range []string{"insert", "update", "delete"} {
		if !slices.Contains(list, action) {
			r.refuse(n, "list insert, update and delete, if that is what you want",
				"without %s, keys do not follow the table; those of Stoker do", action)
			return
		}
	}
}
