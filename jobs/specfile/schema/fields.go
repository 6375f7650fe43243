package schema

import (
	"strings"

	"strconv"

	"go.yaml.in/yaml/v3"

	"github.com/stokerhq/stoker/jobs/specfile/field"
)

// A text may hold ${NAME} and ${NAME:-default} wherever a single value stands. What it then is nobody knows before the
// environment is put in, so that its form is not looked at.
const (
	reference  = `\$\{[A-Za-z_][A-Za-z0-9_]*(:-[^}]*)?\}`
	wellFormed = `^([^$]|\$+[^${]|\$\$+\{|` + reference + `)*\$*$`
	hasOne     = `(^|[^$])\$\{`
)

// definitions are what the fields share.
func definitions() map[string]*node {
	return map[string]*node{
		"text": {Pattern: wellFormed,
			PatternMessage: "Write ${NAME} or ${NAME:-default} for an environment variable, or $${ for a literal ${."},
		"variable": {Type: []string{"string"}, Pattern: hasOne, AllOf: []*node{ref("text")}},
	}
}

func ref(name string) *node { return &node{Ref: "#/definitions/" + name} }

// mapping is the schema of a mapping with these fields. Its rules are found by the name of the field that it is.
func mapping(table []field.Field, name string) *node {
	n := &node{Type: []string{"object"}, Properties: map[string]any{}, Others: false, AllOf: rules(name)}
	demanding := false
	for _, f := range table {
		n.Properties[f.Name] = of(f)
		switch {
		case f.Missing != "" && f.Or == "":
			n.Required = append(n.Required, f.Name)
		case f.Missing != "":
			demanding = true // its rule says of which
		}
	}
	if n.Required == nil && !demanding && name != "" {
		n.Type = append(n.Type, "null") // "defaults:" with comments alone under it
	}
	return n
}

// of is the schema of a field.
func of(f field.Field) *node {
	var n *node
	switch f.Type.Form {
	case field.Mapping:
		n = mapping(f.Fields, f.Name)
	case field.Pairs:
		n = &node{Type: []string{"object"}, Others: of(f.Item())}
		if f.Type.NotEmpty {
			n.MinFields = 1
		} else {
			n.Type = append(n.Type, "null")
		}
	case field.List:
		n = list(f)
	case field.Choice:
		n = choice(f)
	case field.Whole:
		n = whole(f)
	case field.Text:
		n = text(f)
	}
	n.Description = Describe(f)
	if f.Example != "" {
		var example any
		if yaml.Unmarshal([]byte(f.Example), &example) == nil {
			n.Examples = []any{example}
		}
	}
	if f.Default != "" && !f.InWords {
		n.Default = defaultValue(f)
	}
	return n
}

// Describe is what an editor shows of a field: its sentence, how it is written, and what holds without it.
func Describe(f field.Field) string {
	if f.Doc == "" {
		return ""
	}
	how := " Write " + f.Type.Words
	switch {
	case f.Type.Form == field.Mapping, f.Type.Form == field.List && f.Type.Items == nil:
		how = ""
	case f.Missing != "":
		how += "; required" + strings.TrimSuffix(", or "+f.Or, ", or ") + "."
	case f.Default != "":
		how += "; default " + f.Default + "."
	default:
		how += "; default none."
	}
	return f.Doc + how
}

// defaultValue is the default as YAML would read it.
func defaultValue(f field.Field) any {
	if v, err := strconv.Atoi(f.Default); err == nil && (f.Type.Form == field.Whole || f.Type.Zero) {
		return v
	}
	if v, err := strconv.ParseBool(f.Default); err == nil && f.Type.Form == field.Choice {
		return v
	}
	return f.Default
}

func list(f field.Field) *node {
	n := &node{Type: []string{"array"}}
	if f.Type.Items != nil {
		n.Items = of(f.Item())
	} else {
		n.Items = mapping(f.Fields, f.Name)
	}
	if f.Type.NotEmpty {
		n.MinItems = 1
	} else {
		n.Type = append(n.Type, "null")
	}
	return n
}

// write is what a language server says of a value that the type does not take.
func write(f field.Field) string {
	return "Write " + f.Type.Words + ", or ${NAME} for an environment variable."
}

// choice allows true and false with and without quotes.
func choice(f field.Field) *node {
	values := &node{Message: write(f)}
	for _, v := range f.Type.Values {
		values.Enum = append(values.Enum, v)
		if v == "true" || v == "false" {
			values.Enum = append(values.Enum, v == "true")
		}
	}
	return &node{AnyOf: []*node{values, ref("variable")}, Message: values.Message}
}

func whole(f field.Field) *node {
	return &node{Type: []string{"integer", "string"}, Minimum: &f.Type.Min, Maximum: &f.Type.Max,
		Pattern: `^[+-]?[0-9]+$|` + hasOne, AllOf: []*node{ref("text")}, Message: write(f)}
}

// text is the schema of a single value. To YAML it may be a number or a boolean, where that is a text that the type
// takes.
func text(f field.Field) *node {
	n := &node{Type: []string{"string"}, AllOf: []*node{ref("text")}, Message: write(f)}
	switch {
	case f.Type.Zero:
		n.Type = append(n.Type, "number")
		n.AllOf = append(n.AllOf, &node{
			If:   &node{Type: []string{"number"}},
			Then: &node{Enum: []any{0}, Message: n.Message},
		})
	case f.Type.Takes("1.5"):
		n.Type = append(n.Type, "number")
	case f.Type.Takes("5"):
		n.Type, n.Minimum = append(n.Type, "integer"), &f.Type.Min
	}
	if f.Type.Takes("true") {
		n.Type = append(n.Type, "boolean")
	}
	if f.MayBeEmpty {
		n.Type = append(n.Type, "null")
	}
	if f.Type.Pattern != nil {
		n.Pattern = f.Type.Pattern.String() + "|" + hasOne
		switch {
		case f.MayBeEmpty && f.Type.Secret:
			n.Pattern += `|^[ \t\r\n]*$`
		case f.MayBeEmpty:
			n.Pattern += `|^$`
		}
	} else if !f.MayBeEmpty {
		n.MinLength = 1
	}
	if f.Type.Never != nil {
		n.AllOf = append(n.AllOf, &node{
			If:   &node{Type: []string{"string"}, Pattern: f.Type.Never.String()},
			Then: refuse(n.Message),
		})
	}
	return n
}
