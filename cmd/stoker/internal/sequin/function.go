package sequin

import (
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"
)

// function is one of the file's functions.
type function struct {
	kind string
	path *yaml.Node
	code *yaml.Node
	at   *yaml.Node
}

// functionOf finds the function that a field of a sink names; ok is false if there is none, which has been said.
func (r *reader) functionOf(n *yaml.Node) (f function, ok bool) {
	at, is := r.functions[r.text(n)]
	if !is {
		r.refuse(n, "", "there is no function %q in this file", n.Value)
		return f, false
	}
	f.at = at
	known := map[string]func(*yaml.Node){
		"type": r.into(&f.kind), "*": ignore,
		"path": func(n *yaml.Node) { f.path = n },
		"code": func(n *yaml.Node) { f.code = n },
	}
	known["transform"] = func(n *yaml.Node) { r.fields(n, known) } // the older form
	known["function"] = known["transform"]
	r.fields(at, known)
	return f, true
}

// wholeMessage is why the default value cannot be had.
const wholeMessage = "without a transform, a value is the whole message (record, changes, action, metadata), and no " +
	"query returns the metadata of a commit"

// valueOf is what a key of the sink holds.
func (r *reader) valueOf(n, sink *yaml.Node) string {
	const hint = "give the sink a transform of type path with path: record, once readers can do with the record alone"
	if n == nil || n.Value == "none" {
		at := n
		if at == nil {
			at = sink
		}
		r.refuse(at, hint, "%s", wholeMessage)
		return ""
	}
	f, ok := r.functionOf(n)
	switch {
	case !ok:
	case f.kind == "path" && f.path != nil && (f.path.Value == recordValue || f.path.Value == enrichmentValue):
		return f.path.Value
	case f.kind == "path" && f.path != nil:
		r.refuse(f.path, "write the query yourself, perhaps with value: scalar", "path %q: a job's value is a record",
			f.path.Value)
	case f.code != nil && returnsRecord.MatchString(f.code.Value):
		return recordValue
	case f.code != nil:
		r.refuse(f.code, "write what it does as the SELECT list of the job's query",
			"a transform in Elixir is not translated, unless it returns record as it is")
	default:
		r.refuse(f.at, "", "the function is no transform")
	}
	return ""
}

var returnsRecord = regexp.MustCompile(`^\s*def transform\([^)]*\) do\s+record\s+end\s*$`)

// routePart is a literal, or a column of the row behind it.
type routePart struct {
	literal string
	column  string // "": the part is a literal alone
	table   string // "table_name" or "table_schema": of the metadata
}

// route is how a key is made of a row.
type route struct {
	parts []routePart
	at    *yaml.Node
}

var (
	routeForm = regexp.MustCompile(`^\s*def route\(\s*\w+\s*,\s*(\w+)\s*,\s*\w+\s*,\s*(\w+)\s*\) do\s+` +
		`%\{\s*(?:key:|"key"\s*=>)\s*"((?:[^"\\#]|#\{[^}]*\}|#[^{"])*)"\s*,?\s*\}\s+end\s*$`)
	interpolation = regexp.MustCompile(`#\{([^}]*)\}`)
	ofRow         = regexp.MustCompile(`^\s*(\w+)\["([^"{}]+)"\]\s*$`)
	ofMetadata    = regexp.MustCompile(`^\s*(\w+)\.(table_name|table_schema)\s*$`)
)

const routeHint = `the form that is translated is %{key: "prefix:#{record["id"]}"}`

// routeOf reads the routing function of a sink; nil is Sequin's own key, or a problem.
func (r *reader) routeOf(n *yaml.Node) *route {
	if n == nil || n.Value == "none" {
		return nil
	}
	f, ok := r.functionOf(n)
	if !ok {
		return nil
	}
	if f.code == nil || f.kind != "routing" {
		r.refuse(f.at, "", "the function is no routing function")
		return nil
	}
	m := routeForm.FindStringSubmatch(f.code.Value)
	if m == nil {
		r.refuse(f.code, routeHint, "this routing function is not translated")
		return nil
	}
	record, metadata, text := m[1], m[2], m[3]
	to := &route{at: f.code}
	end := 0
	for _, at := range interpolation.FindAllStringSubmatchIndex(text, -1) {
		part := routePart{literal: text[end:at[0]]}
		end = at[1]
		expr := text[at[2]:at[3]]
		if row := ofRow.FindStringSubmatch(expr); row != nil && row[1] == record {
			part.column = row[2]
		} else if meta := ofMetadata.FindStringSubmatch(expr); meta != nil && meta[1] == metadata {
			part.table = meta[2]
		} else {
			r.refuse(f.code, routeHint, "the key is made of %s", strings.TrimSpace(expr))
			return nil
		}
		to.parts = append(to.parts, part)
	}
	to.parts = append(to.parts, routePart{literal: text[end:]})
	return to
}

// enrichmentOf is the SQL of the enrichment that a sink names; nil is none.
func (r *reader) enrichmentOf(n *yaml.Node) *yaml.Node {
	if n.Value == "none" {
		return nil
	}
	f, ok := r.functionOf(n)
	if !ok {
		return nil
	}
	if f.code == nil || f.kind != "enrichment" {
		r.refuse(f.at, "", "the function is no enrichment")
		return nil
	}
	return f.code
}
