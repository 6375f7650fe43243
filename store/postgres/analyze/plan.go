package analyze

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/stokerhq/stoker/store/postgres/lex"
)

// timeTypes are the types whose text may say "now".
var timeTypes = []string{"date", "time", "timestamp", "timestamptz", "timetz", "daterange", "tsrange", "tstzrange",
	"datemultirange", "tsmultirange", "tstzmultirange"}

// plan notes what the plan of a run has in it.
func (a *analysis) plan() error {
	for _, r := range a.scanned {
		switch {
		case r.Kind == "f":
			a.unsteady("foreign table "+r.Name, "")
		case r.Kind == "S":
			a.unsteady("sequence "+r.Name, "")
		case r.Schema == "pg_catalog" || r.Schema == "information_schema":
			a.unsteady("system table "+r.Name, "")
		}
	}
	for _, n := range a.run.all() {
		a.judgeNode(n)
	}
	return a.expressions()
}

// judgeNode notes what a kind of node says.
func (a *analysis) judgeNode(n *node) {
	switch {
	case n.Type == "LockRows":
		a.facts.Refused = append(a.facts.Refused, "SELECT FOR UPDATE or FOR SHARE")
	case n.Type == "ModifyTable":
		a.facts.Refused = append(a.facts.Refused, strings.ToUpper(n.Operation))
	case n.Type == "Sample Scan":
		a.unsteady("TABLESAMPLE", "")
	case (n.Type == "Foreign Scan" || n.Type == "Custom Scan") && n.Relation == "" && len(n.Plans) == 0:
		a.unsteady("rows of another server", "")
		a.facts.Opaque = append(a.facts.Opaque, "a scan that is left to an extension or another server")
	}
}

// expressions follows what the expressions of the plan call: also what was put into it from the policies of
// row-level security and of functions whose body was put in their place.
func (a *analysis) expressions() error {
	var all []string
	for _, n := range a.run.all() {
		all = append(all, n.texts...)
	}
	joined := strings.Join(unique(all), "\n;\n")
	t := text{sql: joined, plan: true}
	if err := a.follow(t); err != nil {
		return err
	}
	tokens := lexed(joined)
	var symbols, casts []string
	for i, token := range tokens {
		switch {
		case token.is("::") && i+1 < len(tokens):
			casts = append(casts, tokens[i+1].text)
			if slices.Contains(timeTypes, tokens[i+1].text) && a.isText(operand(tokens[:i])) {
				a.unsteady(fmt.Sprintf("a %s read from text, which may say 'now'", tokens[i+1].text), "")
			}
		case token.kind == symbol && strings.Contains(lex.Operators, token.text[:1]):
			symbols = append(symbols, token.text)
		}
	}
	hidden, err := lookUp[routine](a.catalog, "the functions of operators and casts", hiddenRoutinesSQL,
		unique(symbols), unique(casts), nil)
	for _, r := range hidden {
		for _, body := range a.judgeRoutine(r, t) {
			if err := a.follow(body); err != nil {
				return err
			}
		}
	}
	return err
}

// operand is what stands before a cast: a bracket, a literal, a column or a call.
func operand(before []token) []token {
	if len(before) == 0 {
		return nil
	}
	from := len(before) - 1
	if before[from].is(")") {
		for depth := 0; from >= 0; from-- {
			if before[from].is(")") {
				depth++
			} else if before[from].is("(") {
				if depth--; depth == 0 {
					break
				}
			}
		}
		from = max(0, from)
	}
	for from > 0 && (before[from-1].identifies() || before[from-1].is(".")) && (before[from].is("(", ".") ||
		before[from-1].is(".")) {
		from--
	}
	return before[from:]
}

// isText reports whether an expression in a plan is a text, or may be one. A bare literal has been read already.
func (a *analysis) isText(expr []token) bool {
	expr = bare(expr)
	if len(expr) == 0 || len(expr) == 1 && (expr[0].kind == literal || expr[0].is(clockWords...)) {
		return false
	}
	if last := len(expr) - len(lastCast(expr)); last < len(expr) && len(operand(expr[:last-1])) == last-1 {
		return expr[last].is("text", "character", "varchar", "bpchar", "cstring", "name", "citext")
	}
	if c, is := columnOf(expr); is {
		return a.isTextColumn(c)
	}
	for _, operator := range []string{"->>", "#>>", "||"} {
		if len(splitAt(expr, operator)) > 1 {
			return true
		}
	}
	if expr[0].is("coalesce", "greatest", "least", "nullif", "case", "min", "max", "any_value") {
		return slices.ContainsFunc(expr, func(t token) bool { return t.is("->>", "#>>", "text", "character", "||") })
	}
	for i, t := range expr {
		if t.is("(") && closing(expr[i:]) == len(expr[i:])-1 {
			if c, ok := callAt(expr, i); ok {
				return slices.ContainsFunc(a.routines[c.name], func(r routine) bool { return r.Text })
			}
		}
		if t.is("(") {
			break
		}
	}
	return false
}

const oidBpchar = 1042

// lastCast is what stands behind the last cast that is in no bracket, or nil.
func lastCast(expr []token) []token {
	casts := splitAt(expr, "::")
	if len(casts) == 1 {
		return nil
	}
	return casts[len(casts)-1]
}

// columnOf reads a column, which has no alias where a plan has one scan alone.
func columnOf(expr []token) (column, bool) {
	if len(expr) == 1 && expr[0].identifies() {
		return column{"", unquote(expr[0])}, true
	}
	s := readSide(expr)
	return s.column, s.isColumn() && len(s.casts) == 0
}

// isTextColumn reports whether a column is a text, or is not known.
func (a *analysis) isTextColumn(c column) bool {
	known := false
	for at, oid := range a.types {
		if at.name == c.name && (c.alias == "" || at.alias == c.alias) {
			known = true
			if slices.Contains([]uint32{oidText, oidVarchar, oidName, oidBpchar, 0}, oid) {
				return true
			}
		}
	}
	return !known
}

// filtered finds the relations of which row-level security hides rows.
func (a *analysis) filtered() error {
	var relations, roles []string
	for pair := range a.access {
		relations, roles = append(relations, fmt.Sprint(pair[0])), append(roles, fmt.Sprint(pair[1]))
	}
	type relation struct {
		Name    string
		Columns string // a JSON array: DISTINCT knows no json
	}
	list, err := lookUp[relation](a.catalog, "row-level security", filteredSQL, relations, roles)
	for _, r := range list {
		a.facts.Filtered = append(a.facts.Filtered, r.Name)
		var columns []string
		if err := json.Unmarshal([]byte(r.Columns), &columns); err != nil {
			return fmt.Errorf("look up the policies of %s: %w", r.Name, err)
		}
		a.facts.Tenancy = append(a.facts.Tenancy, columns...)
	}
	slices.Sort(a.facts.Tenancy)
	slices.Sort(a.facts.Filtered)
	return err
}

// watches finds the watch entries that name keys and cannot name them all. A table that a function reads, or may
// read, is followed no further.
func (a *analysis) watches(key *node) error {
	if err := a.given(); err != nil {
		return err
	}
	a.facts.Whole = make(map[int]string)
	plan := newKeyPlan(key, a.job.Key.Columns(), func(c column) uint32 { return a.types[c] })
	if len(plan.columns) == 0 {
		return nil // a refresh is a run of the query
	}
	for _, table := range a.facts.Tables {
		entries := a.naming(table)
		why := a.uncovered(plan, table, entries)
		for _, i := range entries {
			if why != "" {
				a.facts.Whole[i] = why
			}
		}
	}
	return nil
}

// given looks up the tables that the job's spec names. A name that is none is reported elsewhere.
func (a *analysis) given() (err error) {
	var list []string
	for _, w := range a.job.Watch {
		list = append(list, w.Table)
	}
	for _, u := range a.job.Unwatched {
		list = append(list, u.Table)
	}
	list = slices.DeleteFunc(unique(list), func(given string) bool { return relationAt(lexed(given), 0) == "" })
	a.facts.Tables, err = lookUp[Relation](a.catalog, "the watched tables", relationsSQL(byName), list, nil)
	return err
}

// naming are the watch entries of a table that name keys.
func (a *analysis) naming(table Relation) (entries []int) {
	for i, w := range a.job.Watch {
		if a.facts.Names(w.Table, table) && (w.Key != nil || w.Keys != "") {
			entries = append(entries, i)
		}
	}
	return entries
}

// Names reports whether a name in the job's spec is that of a table.
func (f *Facts) Names(given string, table Relation) bool {
	return slices.ContainsFunc(f.Tables, func(t Relation) bool { return t.Given == given && t.OID == table.OID })
}

// Holds reports whether rows of one of the tables can be rows of the other.
func (r Relation) Holds(other Relation) bool {
	return slices.Contains(r.Above, other.OID) || slices.Contains(other.Above, r.OID)
}

// uncovered says why rows of a table can matter to keys that none of the entries names; "" if they cannot.
func (a *analysis) uncovered(plan *keyPlan, table Relation, entries []int) string {
	for _, r := range a.inBodies {
		if r.Holds(table) {
			return "it is read by " + strings.Join(unique(a.read[r.OID]), ", ")
		}
	}
	if len(a.facts.Opaque) > 0 {
		return "it may be read by " + strings.Join(unique(a.facts.Opaque), ", ")
	}
	for _, n := range plan.root.all() {
		if n.Relation == "" || !a.relation(n).Holds(table) {
			continue
		}
		if !slices.ContainsFunc(entries, func(i int) bool { return plan.covers(a.job.Watch[i], n) }) {
			return plan.why(n)
		}
	}
	return ""
}
