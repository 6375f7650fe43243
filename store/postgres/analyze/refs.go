package analyze

import (
	"slices"
	"strings"
	"unicode"
)

// refs is what a piece of SQL names. It is read from the text, so that nothing has to be created in the
// database to learn it; what the names stand for is looked up in the catalog.
type refs struct {
	calls     []call
	relations []string // after FROM, JOIN and the like, as written
	clocks    []string // CURRENT_DATE and the like, and literals that mean a time when they are read as one
	writes    []string // statements that a READ ONLY transaction refuses
	dynamic   bool     // it executes text that it puts together
}

// call is a function's name, as written, and how many arguments it is given.
type call struct {
	name string
	args int
}

var (
	clockWords = []string{"current_timestamp", "current_date", "current_time", "localtimestamp", "localtime"}
	// what means a moment when it is read as a date or a time
	clockLiterals = []string{"now", "today", "tomorrow", "yesterday"}
	besideClock   = []string{"allballs", "utc", "z", "infinity", "am", "pm"} // may stand beside them

	// after these a relation is named, and after a comma of their clause
	beforeRelations = []string{"from", "join", "update", "into"}
	afterRelations  = []string{"where", "on", "group", "order", "having", "limit", "offset", "window", "union",
		"except", "intersect", "select", "set", "values", "loop", "returning", "fetch", "for", ";"}

	// the first word of statements that write -> what follows it; "" is a name
	writeWords = map[string][]string{"insert": {"into"}, "delete": {"from"}, "merge": {"into"}, "update": {""},
		"truncate": {""}, "create": {""}, "alter": {""}, "drop": {""}, "grant": {""}, "revoke": {""}, "lock": {""},
		"copy": {""}, "comment": {"on"}, "refresh": {"materialized"}}
	// what stands before a statement in the body of a function, and before one in a WITH clause or behind it
	statementEnds = []string{";", "begin", "then", "else", "loop", "atomic"}
	withEnds      = []string{"(", ")"}
)

// Writes are the statements in the text of a query that a READ ONLY transaction refuses.
func Writes(query string) []string { return unique(scan(query).writes) }

// scan finds what a piece of SQL names.
func scan(sql string) refs {
	all := lexed(sql)
	var r refs
	var inFrom []bool // a bracket's depth -> a FROM clause is open
	inFrom = append(inFrom, false)
	for i, t := range all {
		top := len(inFrom) - 1
		switch {
		case t.is("("):
			inFrom = append(inFrom, false)
			if c, ok := callAt(all, i); ok {
				r.calls = append(r.calls, c)
			}
		case t.is(")"):
			inFrom = inFrom[:max(1, top)]
		case t.is(beforeRelations...):
			inFrom[top] = !t.is("into", "update")
		case t.is(afterRelations...):
			inFrom[top] = false
		}
		if t.is(beforeRelations...) || t.is(",") && inFrom[len(inFrom)-1] {
			if relation := relationAt(all, i+1); relation != "" {
				r.relations = append(r.relations, relation)
			}
		}
		r.addClock(all, i)
		r.addWrite(all, i)
	}
	return r
}

// relationAt is the name that stands at i, or "".
func relationAt(all []token, i int) string {
	for i < len(all) && all[i].is("only", "lateral", "table", "(") {
		i++
	}
	if i >= len(all) || !all[i].identifies() || all[i].is("select", "values") {
		return ""
	}
	dotted := all[i].text
	for i += 1; i+1 < len(all) && all[i].is(".") && all[i+1].identifies(); i += 2 {
		dotted += "." + all[i+1].text
	}
	if i < len(all) && all[i].is("(") { // a function
		return ""
	}
	return dotted
}

// callAt is the call whose arguments the bracket at i opens, if it does.
func callAt(all []token, i int) (call, bool) {
	if i == 0 || !all[i-1].identifies() {
		return call{}, false
	}
	c := call{name: all[i-1].text}
	for at := i - 1; at >= 2 && all[at-1].is(".") && all[at-2].identifies(); at -= 2 {
		c.name = all[at-2].text + "." + c.name
	}
	depth := 0
	for _, t := range all[i:] {
		switch {
		case t.is("(", "["):
			if depth++; depth == 1 {
				continue
			}
		case t.is(")", "]"):
			if depth--; depth == 0 {
				return c, true
			}
		}
		switch {
		case depth == 1 && t.is("order"): // ORDER BY in an aggregate's arguments
			return c, true
		case depth == 1 && t.is(","):
			c.args++
		case c.args == 0:
			c.args = 1
		}
	}
	return c, true
}

// addClock adds the token if it means the time of day.
func (r *refs) addClock(all []token, i int) {
	t := all[i]
	switch {
	case t.kind == literal && meansTime(t.text):
		r.clocks = append(r.clocks, "'"+t.text+"'")
	case t.is(clockWords...) && (i == 0 || !all[i-1].is(".", "as")):
		r.clocks = append(r.clocks, strings.ToUpper(t.text))
	}
}

// meansTime reports whether a literal means a moment when it is read as a time, a range or an array of them: 'now',
// 'today 12:00', '[now,)'. One with any other word in it does not.
func meansTime(text string) bool {
	clock := false
	for _, w := range strings.FieldsFunc(strings.ToLower(text), func(c rune) bool { return !unicode.IsLetter(c) }) {
		switch {
		case slices.Contains(clockLiterals, w):
			clock = true
		case !slices.Contains(besideClock, w):
			return false
		}
	}
	return clock
}

// addWrite adds the statement that begins with the token, if it is one that writes.
func (r *refs) addWrite(all []token, i int) {
	t := all[i]
	switch {
	case t.is("execute"):
		r.dynamic = true
	case beginsWrite(all, i):
		r.writes = append(r.writes, strings.ToUpper(t.text))
	case t.is("for") && locks(all[i+1:]) != "":
		r.writes = append(r.writes, "SELECT FOR "+locks(all[i+1:]))
	case t.kind == literal && r.dynamic: // what EXECUTE may be given
		if inner := lexed(t.text); len(inner) > 1 && beginsWrite(inner, 0) {
			r.writes = append(r.writes, strings.ToUpper(inner[0].text))
		}
	}
}

// beginsWrite reports whether a statement that writes begins at i.
func beginsWrite(all []token, i int) bool {
	after := writeWords[all[i].text]
	if all[i].kind != word || after == nil || i+1 == len(all) {
		return false
	}
	if after[0] == "" && !all[i+1].identifies() || after[0] != "" && !all[i+1].is(after[0]) {
		return false
	}
	if i == 0 || all[i-1].is(statementEnds...) {
		return true
	}
	return all[i-1].is(withEnds...) && (after[0] != "" || all[i].is("update"))
}

// locks is what a SELECT takes locks for, by the tokens after its FOR, or "". In PL/pgSQL, FOR also begins a loop
// over a variable, of any name.
func locks(after []token) string {
	for _, strength := range [][]string{{"update"}, {"share"}, {"no", "key", "update"}, {"key", "share"}} {
		n := len(strength)
		if len(after) < n || len(after) > n && after[n].is("in") {
			continue
		}
		same := true
		for i, w := range strength {
			same = same && after[i].is(w)
		}
		if same {
			return strings.ToUpper(strings.Join(strength, " "))
		}
	}
	return ""
}
