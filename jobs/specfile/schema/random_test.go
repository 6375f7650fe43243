package schema_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"regexp/syntax"
	"slices"
	"strings"
)

// writer makes random specs that the schema takes.
type writer struct {
	*rig
	*rand.Rand
	root map[string]any
}

// spec is a random spec that the schema takes, or nil.
func (w *writer) spec() any {
	v := w.value("#", w.root)
	if w.at("#").Validate(v) != nil {
		return nil
	}
	return v
}

// right is what no pattern leads to.
var right = map[string]string{"/url": "host=db", "/redis/properties/url": "redis://cache", "/queue_url": "unix:///x",
	"/query_file": "queries/top.sql", "/time_zone": "UTC", "/notify/items/properties/url": "https://x/y"}

// value is a random value of a part of the schema: one that validates, if some dozens of tries find one.
func (w *writer) value(place string, part map[string]any) (v any) {
	for end, text := range right {
		if strings.HasSuffix(place, end) && w.at(place).Validate(text) == nil && w.IntN(10) > 0 {
			return text
		}
	}
	for range 60 {
		if v = w.try(place, part); w.at(place).Validate(v) == nil {
			break
		}
	}
	return v
}

func (w *writer) try(place string, part map[string]any) any {
	if alternatives, is := part["anyOf"].([]any); is {
		i := w.IntN(len(alternatives))
		if w.IntN(8) > 0 {
			i = 0 // a value more often than a variable
		}
		return w.try(place, alternatives[i].(map[string]any))
	}
	if values, is := part["enum"].([]any); is {
		return values[w.IntN(len(values))]
	}
	switch kind := w.kind(part); kind {
	case "object":
		return w.object(place, part)
	case "array":
		items := part["items"].(map[string]any)
		list := []any{}
		for range w.IntN(3) {
			list = append(list, w.value(place+"/items", items))
		}
		return list
	case "integer", "number":
		return w.number(part)
	case "boolean":
		return w.IntN(2) == 0
	case "null":
		return nil
	default:
		return w.text(part)
	}
}

func (w *writer) kind(part map[string]any) string {
	switch kinds := part["type"].(type) {
	case string:
		return kinds
	case []any:
		return kinds[w.IntN(len(kinds))].(string)
	}
	return "string"
}

func (w *writer) number(part map[string]any) int {
	low, has := part["minimum"]
	if !has {
		return w.IntN(2000)
	}
	from, to := integer(low), 1<<20
	if high, has := part["maximum"]; has {
		to = integer(high)
	}
	return []int{from, to, from + w.IntN(to-from+1)}[w.IntN(3)]
}

func integer(v any) (n int) {
	fmt.Sscan(fmt.Sprint(v), &n)
	return n
}

func (w *writer) object(place string, part map[string]any) any {
	m := map[string]any{}
	properties, _ := part["properties"].(map[string]any)
	required := fmt.Sprint(part["required"])
	for _, name := range slices.Sorted(maps.Keys(properties)) {
		switch {
		case strings.HasSuffix(name, "tls"), strings.HasSuffix(name, "_file") && name != "query_file":
			continue // files that are not there say nothing about the rest
		case name == "url", strings.Contains(required, name), w.IntN(4) == 0:
			m[name] = w.value(place+"/properties/"+name, properties[name].(map[string]any))
		}
	}
	if others, is := part["additionalProperties"].(map[string]any); is {
		for range w.IntN(3) {
			m[w.string(`[a-z]{1,2}`)] = w.value(place+"/additionalProperties", others)
		}
	}
	return m
}

// text is a text of a pattern, at times with a variable in it or around it.
func (w *writer) text(part map[string]any) string {
	pattern, has := part["pattern"].(string)
	if !has {
		pattern = `[ -~]{0,9}`
	}
	s := w.string(pattern)
	switch w.IntN(20) {
	case 0:
		return "${NAME}"
	case 1:
		return s + "${UNSET:-}"
	case 2:
		return strings.ReplaceAll(s, "${", "$${")
	}
	return s
}

// string is a text that a pattern matches, if it has no word boundaries.
func (w *writer) string(pattern string) string {
	tree, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		w.Fatal(err)
	}
	var b strings.Builder
	w.append(&b, tree.Simplify())
	return b.String()
}

func (w *writer) append(b *strings.Builder, re *syntax.Regexp) {
	repeat := func(least int) {
		for range least + w.IntN(3) {
			w.append(b, re.Sub[0])
		}
	}
	switch re.Op {
	case syntax.OpLiteral:
		b.WriteString(string(re.Rune))
	case syntax.OpCharClass:
		i := 2 * w.IntN(len(re.Rune)/2)
		low, high := re.Rune[i], min(re.Rune[i+1], max(re.Rune[i], 'ÿ'))
		b.WriteRune(low + rune(w.IntN(int(high-low)+1)))
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		b.WriteRune(' ' + rune(w.IntN('~'-' ')))
	case syntax.OpStar:
		repeat(0)
	case syntax.OpPlus:
		repeat(1)
	case syntax.OpQuest:
		if w.IntN(2) == 0 {
			w.append(b, re.Sub[0])
		}
	case syntax.OpCapture:
		w.append(b, re.Sub[0])
	case syntax.OpConcat:
		for _, sub := range re.Sub {
			w.append(b, sub)
		}
	case syntax.OpAlternate:
		w.append(b, re.Sub[w.IntN(len(re.Sub))])
	}
}
