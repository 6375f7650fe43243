// Package schema writes the JSON schema of stoker.yaml (draft-07, which all editors know) from the tables that the
// decoder reads it by. An editor with a YAML language server then completes fields, explains them, and marks on the
// line of the mistake what `stoker check` would say of it, as far as a schema can express it:
//
//	specfile.Fields() ──> fields (a schema each) ──┐
//	rules (what fields say of each other) ─────────┴──> stoker.schema.json
//
// What a schema cannot say: that names and keys are unique, how the columns of a key and of its watches fit, what
// the environment holds, sums and bounds of units, whether a schedule ever fires, and what YAML itself forgives
// (merge keys, tags, 0x10 for 16).
package schema

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/stokerhq/stoker/jobs/specfile"
)

// File is the name that a schema has beside its spec.
const File = "stoker.schema.json"

// Modeline is the line of a spec that tells editors its schema: a file beside it, as
// `stoker schema > stoker.schema.json` writes it. So it works without a network, and is of the version that reads the
// spec.
const Modeline = "# yaml-language-server: $schema=" + File

// node is a JSON schema, with the keywords that are needed here. Message and PatternMessage are of the YAML and JSON
// language servers: what they say in place of the pattern.
type node struct {
	Schema      string           `json:"$schema,omitempty"`
	Description string           `json:"description,omitempty"`
	Ref         string           `json:"$ref,omitempty"`
	Type        types            `json:"type,omitempty"`
	Enum        []any            `json:"enum,omitempty"`
	Default     any              `json:"default,omitempty"`
	Examples    []any            `json:"examples,omitempty"`
	Pattern     string           `json:"pattern,omitempty"`
	MinLength   int              `json:"minLength,omitempty"`
	Minimum     *int             `json:"minimum,omitempty"`
	Maximum     *int             `json:"maximum,omitempty"`
	Items       *node            `json:"items,omitempty"`
	MinItems    int              `json:"minItems,omitempty"`
	MaxItems    *int             `json:"maxItems,omitempty"`
	UniqueItems bool             `json:"uniqueItems,omitempty"`
	Properties  map[string]any   `json:"properties,omitempty"` // of *node, or false for what may not be there
	Others      any              `json:"additionalProperties,omitempty"`
	MinFields   int              `json:"minProperties,omitempty"`
	Required    []string         `json:"required,omitempty"`
	AllOf       []*node          `json:"allOf,omitempty"`
	AnyOf       []*node          `json:"anyOf,omitempty"`
	Not         *node            `json:"not,omitempty"`
	If          *node            `json:"if,omitempty"`
	Then        *node            `json:"then,omitempty"`
	Definitions map[string]*node `json:"definitions,omitempty"`

	Message        string `json:"errorMessage,omitempty"`
	PatternMessage string `json:"patternErrorMessage,omitempty"`
}

// types are the types that a value may have in JSON.
type types []string

// MarshalJSON writes one type without a list.
func (t types) MarshalJSON() ([]byte, error) {
	if len(t) == 1 {
		return json.Marshal(t[0])
	}
	return json.Marshal([]string(t))
}

// JSON is the schema of a spec, as text.
func JSON() ([]byte, error) {
	root := mapping(specfile.Fields(), "")
	root.Schema = "http://json-schema.org/draft-07/schema#"
	root.Description = "What Stoker keeps warm: the hot queries of an application, from Postgres into Redis."
	root.Definitions = definitions()
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(root); err != nil {
		return nil, fmt.Errorf("write the JSON schema: %w", err)
	}
	return b.Bytes(), nil
}
