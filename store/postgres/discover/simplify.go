package discover

import (
	"strings"

	"github.com/stokerhq/stoker/store/postgres/lex"
)

// nameOf is the name that a token stands for.
func nameOf(t lex.Token) string {
	if t.Kind == lex.Name {
		return strings.ReplaceAll(strings.Trim(t.Text, `"`), `""`, `"`)
	}
	return t.Text
}

// source is a FROM clause that names one table and nothing else.
type source struct {
	tokens int // of the table's name
	table  string
	alias  string // what qualifies columns
}

// oneTable reads a FROM clause of one table. ok is false if it is more.
func oneTable(from string) (s source, ok bool) {
	tokens := lex.Lex(from)
	if len(tokens) == 0 || !tokens[0].Identifies() {
		return s, false
	}
	for s.tokens = 1; s.tokens+1 < len(tokens) && tokens[s.tokens].Is("."); {
		s.tokens += 2
	}
	s.table = nameOf(tokens[s.tokens-1])
	s.alias = s.table
	rest := tokens[s.tokens:]
	if len(rest) > 0 && rest[0].Is("as") {
		rest = rest[1:]
	}
	if len(rest) == 1 && rest[0].Identifies() && !rest[0].Is("tablesample") {
		s.alias, rest = nameOf(rest[0]), nil
	}
	return s, len(rest) == 0
}

// tablesOf are the names of the tables that a FROM clause names outside of brackets, in their order.
func tablesOf(from string) (names []string) {
	for _, part := range commaSeparated(from) {
		tokens := lex.Lex(part)
		expect := true
		outermost(tokens, func(i int) {
			switch t := tokens[i]; {
			case t.Is("join"):
				expect = true
			case expect && t.Is("only", "lateral"):
			case expect && t.Identifies():
				if i+1 < len(tokens) && tokens[i+1].Is(".") {
					return // a schema
				}
				names = append(names, nameOf(t))
				expect = false
			}
		})
	}
	return names
}

// simplify writes a SELECT from one table without qualifiers and without quotes that are not needed, so that what
// several libraries generate for one thing looks alike. It changes nothing where names could come to mean others.
func (d *discovery) simplify(q *selection) (single bool) {
	s, single := oneTable(q.from)
	all := strings.Join(append([]string{q.list, q.group, q.having, q.window, q.order}, q.where...), " ; ")
	if !single || q.with != "" || mentions(all, "select") {
		return single
	}
	if s.alias != s.table && usesBare(all, s.alias) {
		return single
	}
	unqualified := func(sql string) string { return d.without(sql, s.alias) }
	tokens := lex.Lex(q.from)
	q.from = d.without(text(q.from, tokens, 0, s.tokens), "")
	q.list, q.group, q.having = unqualified(q.list), unqualified(q.group), unqualified(q.having)
	q.window, q.order = unqualified(q.window), unqualified(q.order)
	items := commaSeparated(q.list)
	for i, item := range items {
		if o := readOutput(item); o.expr != "" && !o.star && columnName(o.expr) == o.name {
			items[i] = o.expr // not: id AS id
		}
	}
	q.list = strings.Join(items, ", ")
	for i := range q.where {
		q.where[i] = unqualified(q.where[i])
	}
	return single
}

// usesBare reports whether an alias is used as a value: the whole row.
func usesBare(sql, alias string) bool {
	tokens := lex.Lex(sql)
	for i, t := range tokens {
		if t.Identifies() && nameOf(t) == alias && (i+1 == len(tokens) || !tokens[i+1].Is(".")) {
			return true
		}
	}
	return false
}

// without is SQL without a qualifier, and without the quotes that names do not need.
func (d *discovery) without(sql, qualifier string) string {
	var b strings.Builder
	tokens := lex.Lex(sql)
	end := 0
	for i := 0; i < len(tokens); i++ {
		t := tokens[i]
		b.WriteString(sql[end:t.Pos])
		end = t.End
		switch {
		case qualifier != "" && t.Identifies() && nameOf(t) == qualifier && i+1 < len(tokens) && tokens[i+1].Is(".") &&
			(i == 0 || !tokens[i-1].Is(".")):
			i++
			end = tokens[i].End
		case t.Kind == lex.Name:
			b.WriteString(d.quoted(nameOf(t)))
		default:
			b.WriteString(sql[t.Pos:t.End])
		}
	}
	return b.String() + sql[end:]
}

// output is one item of a SELECT list.
type output struct {
	expr string // of the column; "" if it is neither a column nor a *
	name string // of the result's column
	star bool   // all columns, of expr if it is not empty
}

// outputs reads a SELECT list as far as it consists of columns.
func outputs(list string) (items []output) {
	for _, item := range commaSeparated(list) {
		items = append(items, readOutput(item))
	}
	return items
}

func readOutput(item string) output {
	tokens := lex.Lex(item)
	n := len(tokens)
	if n == 0 {
		return output{}
	}
	alias := ""
	switch {
	case n > 2 && tokens[n-2].Is("as"):
		alias, n = nameOf(tokens[n-1]), n-2
	case n > 1 && tokens[n-1].Identifies() && tokens[n-2].Identifies():
		alias, n = nameOf(tokens[n-1]), n-1
	}
	if tokens[n-1].Is("*") && (n == 1 || n >= 3 && isColumn(tokens[:n-2])) {
		return output{expr: text(item, tokens, 0, max(0, n-2)), star: true}
	}
	if !isColumn(tokens[:n]) {
		return output{name: alias}
	}
	if alias == "" {
		alias = nameOf(tokens[n-1])
	}
	return output{expr: text(item, tokens, 0, n), name: alias}
}

// isColumn reports whether the tokens are a name with qualifiers.
func isColumn(tokens []lex.Token) bool {
	for i, t := range tokens {
		if i%2 == 0 && !t.Identifies() || i%2 == 1 && !t.Is(".") {
			return false
		}
	}
	return len(tokens)%2 == 1
}

// columnName is the bare name of a column; "" of another expression.
func columnName(expr string) string {
	tokens := lex.Lex(expr)
	if !isColumn(tokens) {
		return ""
	}
	return nameOf(tokens[len(tokens)-1])
}

// sameColumn reports whether two expressions name one column. In one query, a name without a qualifier can mean one
// column only.
func sameColumn(a, b string) bool {
	x, y := names(a), names(b)
	if len(x) == 0 || len(y) == 0 {
		return false
	}
	for i := 1; i <= min(len(x), len(y)); i++ {
		if x[len(x)-i] != y[len(y)-i] {
			return false
		}
	}
	return true
}

func names(expr string) (list []string) {
	tokens := lex.Lex(expr)
	if !isColumn(tokens) {
		return nil
	}
	for i := 0; i < len(tokens); i += 2 {
		list = append(list, nameOf(tokens[i]))
	}
	return list
}
