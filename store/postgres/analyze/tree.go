package analyze

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// node is a node of a plan.
type node struct {
	Type         string   `json:"Node Type"`
	Parent       string   `json:"Parent Relationship"`
	JoinType     string   `json:"Join Type"`
	Operation    string   `json:"Operation"`
	Schema       string   `json:"Schema"`
	Relation     string   `json:"Relation Name"`
	Function     string   `json:"Function Name"`
	Alias        string   `json:"Alias"`
	Subplan      string   `json:"Subplan Name"`
	GroupKey     []string `json:"Group Key"`
	GroupingSets []any    `json:"Grouping Sets"`
	Filter       string   `json:"Filter"`
	IndexCond    string   `json:"Index Cond"`
	RecheckCond  string   `json:"Recheck Cond"`
	HashCond     string   `json:"Hash Cond"`
	MergeCond    string   `json:"Merge Cond"`
	JoinFilter   string   `json:"Join Filter"`
	Plans        []*node  `json:"Plans"`

	up    *node
	texts []string // every expression in it
}

// names are the fields of a node that are no expressions.
var names = []string{"Node Type", "Parent Relationship", "Join Type", "Operation", "Schema", "Relation Name",
	"Function Name", "Table Function Name", "Alias", "Subplan Name", "Strategy", "Partial Mode", "Scan Direction",
	"Index Name", "CTE Name", "Plans", "Remote SQL", "Relations", "Custom Plan Provider", "Command"}

// UnmarshalJSON reads a node, and all its expressions besides.
func (n *node) UnmarshalJSON(b []byte) error {
	type fields node
	if err := json.Unmarshal(b, (*fields)(n)); err != nil {
		return err
	}
	var all map[string]any
	if err := json.Unmarshal(b, &all); err != nil {
		return err
	}
	for _, field := range slices.Sorted(maps.Keys(all)) {
		if !slices.Contains(names, field) {
			n.addTexts(all[field])
		}
	}
	for _, child := range n.Plans {
		child.up = n
	}
	return nil
}

func (n *node) addTexts(value any) {
	switch v := value.(type) {
	case string:
		n.texts = append(n.texts, v)
	case []any:
		for _, item := range v {
			n.addTexts(item)
		}
	case map[string]any: // of grouping sets
		for _, field := range slices.Sorted(maps.Keys(v)) {
			n.addTexts(v[field])
		}
	}
}

// parsePlan reads what EXPLAIN (VERBOSE, FORMAT JSON) prints.
func parsePlan(b []byte) (*node, error) {
	var out []struct{ Plan *node }
	if err := json.Unmarshal(b, &out); err != nil || len(out) != 1 || out[0].Plan == nil {
		return nil, fmt.Errorf("read a plan: %v", err)
	}
	return out[0].Plan, nil
}

// all are the nodes of a plan, each before its children.
func (n *node) all() (list []*node) {
	list = append(list, n)
	for _, child := range n.Plans {
		list = append(list, child.all()...)
	}
	return list
}

// conditions are those that each row of a scan has met.
func (n *node) conditions() (list []equality) {
	for _, text := range []string{n.Filter, n.IndexCond, n.RecheckCond} {
		list = append(list, equalities(text)...)
	}
	return list
}

func (n *node) isJoin() bool { return n.Type == "Nested Loop" || n.JoinType != "" }

// joins are the conditions on which a join matches rows.
func (n *node) joins() (list []equality) {
	for _, text := range []string{n.HashCond, n.MergeCond, n.JoinFilter} {
		list = append(list, equalities(text)...)
	}
	return list
}

// drops reports whether the join drops rows of this child of it that match nothing.
func (n *node) drops(child *node) bool {
	outer := child.Parent == "Outer"
	switch n.JoinType {
	case "Inner", "Semi", "Right Semi":
		return true
	case "Left", "Anti":
		return !outer
	case "Right", "Right Anti":
		return outer
	}
	return false
}

// rowwise are nodes that make each of their rows of single rows of their children.
var rowwise = []string{"Hash", "Sort", "Incremental Sort", "Materialize", "Memoize", "Gather", "Gather Merge", "Append",
	"Merge Append", "Result", "Subquery Scan", "LockRows", "ProjectSet"}

// leaves are nodes without a relation that read nothing of a table.
var leaves = []string{"Function Scan", "Table Function Scan", "Values Scan", "Bitmap Index Scan", "BitmapAnd",
	"BitmapOr"}

// across says what the node is, if rows of it can depend on several rows of a child; "" if not.
func (n *node) across() string {
	switch n.Type {
	case "WindowAgg":
		return "a window function"
	case "Limit":
		return "LIMIT or OFFSET"
	case "Aggregate", "Group":
		return "an aggregate"
	case "Unique":
		return "DISTINCT"
	case "SetOp":
		return "EXCEPT or INTERSECT"
	case "Recursive Union":
		return "a recursive query"
	case "Sample Scan":
		return "TABLESAMPLE"
	}
	if strings.HasPrefix(n.Subplan, "CTE ") {
		return "a WITH query that is computed once"
	}
	if n.Parent == "InitPlan" || n.Parent == "SubPlan" {
		return "a sub-select"
	}
	if n.isJoin() || slices.Contains(rowwise, n.Type) || slices.Contains(leaves, n.Type) || n.Relation != "" {
		return ""
	}
	return n.Type
}

var numbered = regexp.MustCompile(`_\d+$`)

// family is the alias under which the upper part of a plan speaks of a part of a table: that of the table, without
// the number of the part.
func family(alias string) string { return numbered.ReplaceAllString(alias, "") }
