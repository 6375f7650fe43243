package discover

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/stokerhq/stoker/store/postgres/lex"
)

// keyColumn is a column of the set query whose value names a key.
type keyColumn struct {
	expr string // as the query writes it
	name string // of the column of the result
}

// set is a query that makes the values of all keys: a statement without the conditions that name one key.
type set struct {
	selection
	single bool // it reads one table
	keys   []keyColumn
	added  []string // "expr AS name": key columns that the statement does not return itself
	byKey  bool     // the key columns were put into GROUP BY
	top    int64    // at most so many rows a key; 0: all; -1: that is not known

	primary bool // the key columns hold the primary key of their table

	// of the statement that it stands for
	original string
	fields   []pgconn.FieldDescription
	bound    map[string]binding // :: $n
}

// binding is what a parameter of the original statement is given for one key.
type binding struct {
	key   int // index of the key column; -1: value is given
	array bool
	value string
}

// noConstant is why a constant is not known.
const noConstant = "pg_stat_statements keeps no constants, and no session was seen with it"

// newSet makes a set query of a statement whose constants are known as far as they can be. why says what stands in
// the way. rows is how many rows a call has returned; fractions are kept.
func (d *discovery) newSet(sql string, rows float64) (s *set, why string) {
	q, why := dissect(sql)
	if why != "" {
		return nil, why
	}
	if q.from == "" {
		return nil, "it reads no table"
	}
	s = &set{selection: *q, bound: make(map[string]binding), original: sql}
	s.single = d.simplify(&s.selection)
	if why = s.takeKeys(); why != "" {
		return nil, why
	}
	if why = s.takeLimit(rows); why != "" {
		return nil, why
	}
	for _, p := range []struct{ where, sql string }{{"WITH", s.with}, {"the SELECT list", s.list}, {"FROM", s.from},
		{"GROUP BY", s.group}, {"HAVING", s.having}, {"WINDOW", s.window}, {"ORDER BY", s.order}} {
		if list := parameters(p.sql); len(list) > 0 {
			return nil, fmt.Sprintf("%s has a value (%s) that is neither a key nor known: %s", p.where,
				strings.Join(list, ", "), noConstant)
		}
	}
	if len(s.keys) > 0 && (mentions(s.list, "over") || s.window != "") {
		return nil, "its window function would see the rows of other keys"
	}
	return s, ""
}

// takeKeys turns the equalities of WHERE into key columns.
func (s *set) takeKeys() (why string) {
	var rest []string
	exprs := make(map[string]string) // :: $n -> the column that has its value
	for _, condition := range s.where {
		list, ok := equalities(condition)
		if !ok || len(list) == 0 {
			rest = append(rest, condition)
			continue
		}
		for _, e := range list {
			if first, again := exprs[e.param]; again {
				rest = append(rest, e.expr+" = "+first)
				continue
			}
			if slices.ContainsFunc(s.keys, func(k keyColumn) bool { return k.expr == e.expr }) {
				return "it compares " + e.expr + " with several values"
			}
			exprs[e.param] = e.expr
			for _, name := range append(e.more, e.param) {
				s.bound[name] = binding{key: len(s.keys), array: e.array}
			}
			s.keys = append(s.keys, keyColumn{expr: e.expr})
		}
	}
	for i, condition := range rest {
		if !mentions(condition, "select") {
			rest[i] = replaced(condition, exprs)
		}
		if list := parameters(rest[i]); len(list) > 0 {
			return fmt.Sprintf("the condition %s has a value that is no key: it is compared in another way than "+
				"column = value", Brief(condition))
		}
	}
	s.where = rest
	return ""
}

// takeLimit reads LIMIT and OFFSET.
func (s *set) takeLimit(rows float64) (why string) {
	if s.offset != "" {
		if len(parameters(s.offset)) > 0 || len(s.keys) > 0 {
			return "it reads a page (OFFSET): warm the whole list under one key, and let the reader cut it"
		}
		if _, err := strconv.ParseInt(s.offset, 10, 64); err != nil {
			return "its OFFSET is computed"
		}
	}
	switch n, err := strconv.ParseInt(s.limit, 10, 64); {
	case s.limit == "" || strings.EqualFold(s.limit, "all"):
		s.limit = ""
	case err == nil:
		s.top = n
	case len(parameters(s.limit)) != 1 || columnTokens(s.limit) > 3:
		return "its LIMIT is computed"
	default:
		s.bound[parameters(s.limit)[0]] = binding{key: -1, value: "1000000"}
		if n := int64(rows); rows >= 1 && float64(n) == rows {
			s.top = n
			s.bound[parameters(s.limit)[0]] = binding{key: -1, value: strconv.FormatInt(n, 10)}
		} else {
			s.top = -1 // not known; it does not matter if a key has one row
		}
	}
	return ""
}

func columnTokens(sql string) int { return len(lex.Lex(sql)) }

// name finds the columns of the result that hold the key, and adds those that are missing.
func (s *set) name(d *discovery) {
	count := func(name string) (n int) {
		for _, f := range s.fields {
			if f.Name == name {
				n++
			}
		}
		return n
	}
	items := outputs(s.list)
	for i := range s.keys {
		k := &s.keys[i]
		if k.name = s.outputOf(items, k.expr); k.name != "" && count(k.name) == 1 {
			continue
		}
		k.name = columnName(k.expr)
		if k.name == "" {
			k.name = expressionName(k.expr)
		}
		for count(k.name) > 0 || slices.ContainsFunc(s.keys[:i], func(o keyColumn) bool { return o.name == k.name }) {
			k.name = "key_" + k.name
		}
		item := k.expr
		if columnName(k.expr) != k.name {
			item += " AS " + d.quoted(k.name)
		}
		s.added = append(s.added, item)
	}
}

// expressionName is a name for the value of an expression: lower_mail of lower(mail).
func expressionName(expr string) string {
	var words []string
	for _, t := range lex.Lex(expr) {
		if t.Identifies() {
			words = append(words, nameOf(t))
		}
	}
	name := strings.ReplaceAll(strings.Join(words, "_"), "{", "_")
	if name = strings.ReplaceAll(name, "}", "_"); name == "" {
		return "key"
	}
	return name[:min(len(name), 40)]
}

// outputOf is the result's column that shows an expression; "" if there is none.
func (s *set) outputOf(items []output, expr string) string {
	for _, o := range items {
		switch {
		case o.star && o.expr == "" && s.single:
			return columnName(expr)
		case o.star && o.expr != "":
			if qualifier := names(expr); len(qualifier) == 2 && sameColumn(o.expr, qualifier[0]) {
				return qualifier[1]
			}
		case o.expr != "" && sameColumn(o.expr, expr):
			return o.name
		}
	}
	return ""
}

// keyNames are the key columns as a list of SQL, each with a prefix.
func (s *set) keyNames(d *discovery, prefix string) string {
	list := make([]string, len(s.keys))
	for i, k := range s.keys {
		list[i] = prefix + d.quoted(k.name)
	}
	return strings.Join(list, ", ")
}

// core is the set query without order and limit.
func (s *set) core(more ...string) string {
	var b strings.Builder
	if s.with != "" {
		b.WriteString(s.with + "\n")
	}
	b.WriteString("SELECT ")
	if s.distinct {
		b.WriteString("DISTINCT ")
	}
	b.WriteString(folded(commaSeparated(strings.Join(slices.Concat([]string{s.list}, s.added, more), ", "))))
	b.WriteString("\nFROM " + brokenAtJoins(s.from))
	if len(s.where) > 0 {
		parts := slices.Clone(s.where)
		for i := range parts {
			if len(parts) > 1 && mentions(parts[i], "or") {
				parts[i] = "(" + parts[i] + ")"
			}
		}
		b.WriteString("\nWHERE " + strings.Join(parts, "\n  AND "))
	}
	group := s.group
	if s.byKey {
		exprs := make([]string, len(s.keys))
		for i, k := range s.keys {
			exprs[i] = k.expr
		}
		if group != "" {
			exprs = append(exprs, group)
		}
		group = strings.Join(exprs, ", ")
	}
	for _, part := range [][2]string{{"GROUP BY", group}, {"HAVING", s.having}, {"WINDOW", s.window}} {
		if part[1] != "" {
			b.WriteString("\n" + part[0] + " " + part[1])
		}
	}
	return b.String()
}

// groupedByKey reports whether each key is one group.
func (s *set) groupedByKey() bool {
	if s.byKey || s.group == "" {
		return s.byKey && s.group == ""
	}
	for _, item := range commaSeparated(s.group) {
		if !slices.ContainsFunc(s.keys, func(k keyColumn) bool { return k.expr == item || sameColumn(k.expr, item) }) {
			return false
		}
	}
	return true
}

// query is the job's query: with rows of one key side by side if a key can have several.
func (s *set) query(d *discovery, many bool) string {
	switch {
	case len(s.keys) == 0:
		sql := s.core() + clauseOf("ORDER BY", s.order)
		if s.top > 0 {
			sql += "\nLIMIT " + strconv.FormatInt(s.top, 10)
		}
		return sql + clauseOf("OFFSET", s.offset)
	case !many:
		return s.core()
	case s.top > 0:
		return s.ranked(d)
	case s.order != "":
		return s.core() + "\nORDER BY " + s.keyNames(d, "") + ", " + s.order
	}
	return s.core() + "\nORDER BY " + s.keyNames(d, "")
}

func clauseOf(keyword, body string) string {
	if body == "" {
		return ""
	}
	return "\n" + keyword + " " + body
}

// rank is the column that counts the rows of a key.
const rank = "stoker_rank"

// ranked is the first rows of each key.
func (s *set) ranked(d *discovery) string {
	exprs := make([]string, len(s.keys))
	for i, k := range s.keys {
		exprs[i] = k.expr
	}
	order := ""
	if s.order != "" {
		order = " ORDER BY " + s.order
	}
	window := fmt.Sprintf("row_number() OVER (PARTITION BY %s%s) AS %s", strings.Join(exprs, ", "), order, rank)
	columns := make([]string, 0, len(s.fields)+len(s.added))
	for _, f := range s.fields {
		columns = append(columns, d.quoted(f.Name))
	}
	for _, k := range s.keys {
		if !slices.Contains(columns, d.quoted(k.name)) {
			columns = append(columns, d.quoted(k.name))
		}
	}
	return fmt.Sprintf("SELECT %s\nFROM (\n%s\n) AS ranked\nWHERE %s <= %d\nORDER BY %s, %s",
		folded(columns), indented(s.core(window)), rank, s.top, s.keyNames(d, ""), rank)
}

// indented is SQL two columns further to the right. The SQL is ours: its line breaks stand in no string, but where
// one does, the text stays as it is.
func indented(sql string) string {
	for _, t := range lex.Lex(sql) {
		if t.Kind == lex.Literal && strings.Contains(t.Text, "\n") {
			return sql
		}
	}
	return "  " + strings.ReplaceAll(sql, "\n", "\n  ")
}

// width is how long a line of a list may get.
const width = 100

// folded is a list in lines of bearable length.
func folded(items []string) string {
	var b strings.Builder
	column := len("SELECT ")
	for i, item := range items {
		if i > 0 {
			b.WriteString(",")
			if column+len(item) > width {
				b.WriteString("\n ")
				column = 1
			}
			b.WriteString(" ")
		}
		b.WriteString(item)
		column += len(item) + 2
	}
	return b.String()
}

// brokenAtJoins begins a line with each join.
func brokenAtJoins(from string) string {
	tokens := lex.Lex(from)
	var cuts []int
	outermost(tokens, func(i int) {
		begins := tokens[i].Is("left", "right", "full", "inner", "cross", "natural")
		if i > 0 && (begins && !tokens[i-1].Is("natural") || tokens[i].Is("join") &&
			!tokens[i-1].Is("left", "right", "full", "inner", "cross", "natural", "outer")) {
			cuts = append(cuts, i)
		}
	})
	var b strings.Builder
	begin := 0
	for _, cut := range append(cuts, len(tokens)) {
		if begin > 0 {
			b.WriteString("\n  ")
		}
		b.WriteString(text(from, tokens, begin, cut))
		begin = cut
	}
	return b.String()
}
