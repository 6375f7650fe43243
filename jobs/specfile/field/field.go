// Package field says what a field of stoker.yaml is. The decoder of package specfile is made of
// tables of these, and the JSON schema that editors read is written from the same tables:
//
//	specfile's tables ──┬──> decoder ──> jobs.Spec
//	                    └──> specfile/schema ──> stoker.schema.json
package field

import "go.yaml.in/yaml/v3"

// Field is one field of a mapping.
type Field struct {
	Name string
	Type Type
	// Doc is one sentence that an editor shows. The writer of the schema adds what the type and the default are.
	Doc string
	// Default is what holds without the field, as it is written in a spec, or in words if InWords; "" if nothing does.
	Default string
	InWords bool
	Example string
	// Missing is what to do where the field is not given; a field that has it must be there.
	Missing string
	// Or is the field that may be given in place of one with Missing.
	Or string
	// MayBeEmpty makes an empty value count as not given, as in queue_url: ${QUEUE_REDIS_URL:-}.
	MayBeEmpty bool
	// Fields are those of a Mapping, or of each item of a List of mappings.
	Fields []Field
	// Set reads the value.
	Set Setter
}

// Setter reads the value of a field.
type Setter func(f Field, n *yaml.Node)

// Later is the setter of a field that is read after its siblings.
func Later(Field, *yaml.Node) {}

// Names are those of the fields of a table.
func Names(table []Field) []string {
	names := make([]string, len(table))
	for i, f := range table {
		names[i] = f.Name
	}
	return names
}

// Find returns the field of that name.
func Find(table []Field, name string) (Field, bool) {
	for _, f := range table {
		if f.Name == name {
			return f, true
		}
	}
	return Field{}, false
}

// Item is the field of an item of a list of single values, or of a value of Pairs.
func (f Field) Item() Field { return Field{Name: f.Name, Type: *f.Type.Items} }
