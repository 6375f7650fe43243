package analyze

import (
	"fmt"
	"slices"

	"github.com/stokerhq/stoker/jobs"
)

// keyPlan is the plan of a job's query with a condition on the key. It says on which rows of which tables the value
// of one key depends: on those that its scans let through. If every scan of a table lets through only rows that
// name the key themselves, the value cannot depend on rows that name other keys, whatever is made of the rows above.
type keyPlan struct {
	root    *node
	columns []string            // of the key
	typeOf  func(column) uint32 // the OID of its type; 0: unknown
	// the columns that are equal to a column of the key, in each row that is read
	equal map[column]map[int]bool
	// scans whose rows are found from those of the key: 1 if from rows that have all its columns, 2 if some
	bound map[string]int
}

// How a scan's rows are found.
const (
	boundToAll = 1 + iota
	boundToSome
)

// newKeyPlan follows the key through a plan.
func newKeyPlan(root *node, columns []string, typeOf func(column) uint32) *keyPlan {
	k := &keyPlan{root: root, columns: columns, typeOf: typeOf,
		equal: make(map[column]map[int]bool), bound: make(map[string]int)}
	for k.follow() {
	}
	k.bind()
	return k
}

// follow adds columns that are equal to the key because of a condition on the scan they come from. It returns
// whether there was one.
func (k *keyPlan) follow() (more bool) {
	for _, n := range k.root.all() {
		if n.Alias == "" {
			continue
		}
		for _, e := range n.conditions() {
			if e.left.alias != n.Alias || !k.printsAlike(e.left) {
				continue
			}
			if e.right.key >= 0 {
				more = k.add(e.left.column, e.right.key) || more
			}
			if k.printsAlike(e.right) {
				for key := range k.equalTo(e.right.column) {
					more = k.add(e.left.column, key) || more
				}
			}
		}
	}
	return more
}

func (k *keyPlan) add(c column, key int) bool {
	if k.equal[c][key] {
		return false
	}
	if k.equal[c] == nil {
		k.equal[c] = make(map[int]bool)
	}
	k.equal[c][key] = true
	return true
}

// equalTo is which columns of the key a column is equal to. The table's alias stands for all of its parts.
func (k *keyPlan) equalTo(c column) map[int]bool {
	if known := k.equal[c]; known != nil || k.scans(c.alias) {
		return known
	}
	var common map[int]bool
	for _, n := range k.root.all() {
		if n.Relation == "" || family(n.Alias) != c.alias {
			continue
		}
		part := k.equal[column{n.Alias, c.name}]
		if common == nil {
			common = part
		}
		for key := range common {
			if !part[key] {
				return nil
			}
		}
		if part == nil {
			return nil
		}
	}
	return common
}

// scans reports whether a node has the alias itself.
func (k *keyPlan) scans(alias string) bool {
	return slices.ContainsFunc(k.root.all(), func(n *node) bool { return n.Alias == alias })
}

// bind finds the scans whose rows are found from the key's, over any number of joins.
func (k *keyPlan) bind() {
	for more := true; more; {
		more = false
		for _, n := range k.root.all() {
			if n.Alias == "" {
				continue
			}
			if b := k.boundBy(n); b != 0 && (k.bound[n.Alias] == 0 || b < k.bound[n.Alias]) {
				k.bound[n.Alias] = b
				more = true
			}
		}
	}
}

// boundBy is how the rows of a scan are found from the key's; 0: they are not.
func (k *keyPlan) boundBy(n *node) (best int) {
	keys := make(map[int]bool)
	better := func(b int) {
		if b != 0 && (best == 0 || b < best) {
			best = b
		}
	}
	for _, e := range k.links(n) {
		for key := range k.equalTo(e.left.column) {
			keys[key] = true
		}
		if e.right.key >= 0 {
			keys[e.right.key] = true
		}
		for key := range k.equalTo(e.right.column) {
			keys[key] = true
		}
		if e.right.isColumn() && !k.own(n, e.right.alias) {
			better(k.boundOf(e.right.alias))
		}
	}
	switch {
	case len(keys) == len(k.columns):
		better(boundToAll)
	case len(keys) > 0:
		better(boundToSome)
	}
	return best
}

// boundOf is how the rows of an alias are found, which may be that of a table with parts.
func (k *keyPlan) boundOf(alias string) (worst int) {
	if b := k.bound[alias]; b != 0 || k.scans(alias) {
		return b
	}
	for _, n := range k.root.all() {
		if n.Relation != "" && family(n.Alias) == alias {
			if k.bound[n.Alias] == 0 {
				return 0
			}
			worst = max(worst, k.bound[n.Alias])
		}
	}
	return worst
}

// own reports whether an alias is the scan's, or that of the table it is a part of.
func (k *keyPlan) own(scan *node, alias string) bool {
	return alias == scan.Alias || alias == family(scan.Alias) && !k.scans(alias)
}

// links are the equalities that a row of the scan must meet to matter to any row of the result: those of the scan
// itself, and of the joins above, up to where rows meet.
func (k *keyPlan) links(scan *node) []equality {
	list := slices.DeleteFunc(scan.conditions(), func(e equality) bool { return e.left.alias != scan.Alias })
	ours := func(c column) bool { return k.own(scan, c.alias) }
	for child, n := scan, scan.up; n != nil && !ends(child); child, n = n, n.up {
		var found []equality
		switch {
		case n.isJoin():
			if n.drops(child) {
				found = n.joins()
			}
			found = append(found, equalities(n.Filter)...)
		case slices.Contains(rowwise, n.Type):
			found = equalities(n.Filter)
		case n.Type == "Aggregate" && len(n.GroupingSets) == 0:
			found = nil // what is grouped by a column may pass, below
		default:
			return list
		}
		for _, e := range found {
			if ours(e.left.column) {
				list = append(list, e)
			}
		}
		if n.Type == "Aggregate" {
			return append(list, k.pastGroups(n, ours)...)
		}
	}
	return list
}

// pastGroups are the links of columns that an aggregate groups by: a group depends on the rows with its own value.
func (k *keyPlan) pastGroups(aggregate *node, ours func(column) bool) (list []equality) {
	grouped := func(c column) bool {
		return slices.ContainsFunc(aggregate.GroupKey, func(text string) bool {
			return readSide(lexed(text)).column == c && len(readSide(lexed(text)).casts) == 0
		})
	}
	for child, n := aggregate, aggregate.up; n != nil && !ends(child); child, n = n, n.up {
		if !n.isJoin() && !slices.Contains(rowwise, n.Type) {
			break
		}
		if !n.isJoin() || !n.drops(child) {
			continue
		}
		for _, e := range n.joins() {
			if ours(e.left.column) && grouped(e.left.column) {
				list = append(list, e)
			}
		}
	}
	return list
}

// ends reports whether the rows of a node go elsewhere than to the node above it.
func ends(n *node) bool {
	return n.Subplan != "" || n.Parent == "InitPlan" || n.Parent == "SubPlan"
}

// printsAlike reports whether a column, converted as it is here, prints as the column itself does.
func (k *keyPlan) printsAlike(s side) bool {
	oid := k.typeOf(s.column)
	return !slices.ContainsFunc(s.casts, func(cast string) bool {
		switch cast {
		case "text", "character varying":
			return !slices.Contains([]uint32{oidInt8, oidInt2, oidInt4, oidText, oidVarchar, oidName, oidUUID}, oid)
		case "bigint", "integer", "smallint":
			return !slices.Contains([]uint32{oidInt8, oidInt2, oidInt4}, oid)
		}
		return true
	})
}

// OIDs of types.
const (
	oidName    = 19
	oidInt8    = 20
	oidInt2    = 21
	oidInt4    = 23
	oidText    = 25
	oidVarchar = 1043
	oidUUID    = 2950
)

// covers reports whether a watch entry names every key that a row of the scan can matter to.
func (k *keyPlan) covers(w jobs.Watch, scan *node) bool {
	if len(k.columns) == 0 {
		return true // the one key
	}
	if scan.Type == "Sample Scan" {
		return false
	}
	links := k.links(scan)
	if w.Key != nil {
		for i, keyColumn := range k.columns {
			if !k.names(links, scan, w.Key[keyColumn], i) {
				return false
			}
		}
		return true
	}
	if w.Keys == "" {
		return true
	}
	for _, e := range links {
		if e.left.name != w.Column {
			continue
		}
		level := 0
		if e.right.isColumn() && !k.own(scan, e.right.alias) {
			level = k.boundOf(e.right.alias)
		}
		if e.right.key >= 0 || len(k.equalTo(e.left.column)) > 0 || len(k.equalTo(e.right.column)) > 0 {
			level = boundToAll
			if len(k.columns) > 1 {
				level = boundToSome
			}
		}
		if level == boundToAll || level == boundToSome && !k.meets() {
			return true
		}
	}
	return false
}

// names reports whether the scan's column is equal to a column of the key.
func (k *keyPlan) names(links []equality, scan *node, name string, key int) bool {
	if k.equalTo(column{scan.Alias, name})[key] {
		return true
	}
	return slices.ContainsFunc(links, func(e equality) bool {
		return e.left.name == name && k.printsAlike(e.left) && k.printsAlike(e.right) &&
			(e.right.key == key || k.equalTo(e.right.column)[key])
	})
}

// meets reports whether rows of the result depend on several rows of a scan.
func (k *keyPlan) meets() bool {
	return slices.ContainsFunc(k.root.all(), func(n *node) bool { return n.across() != "" })
}

// why says what lets rows of other keys matter to a key.
func (k *keyPlan) why(scan *node) string {
	for n := scan; n != nil; n = n.up {
		if what := n.across(); what != "" {
			return what + " over it"
		}
	}
	return fmt.Sprintf("rows of it that %s does not name", "the key")
}
