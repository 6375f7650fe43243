package discover

import (
	"slices"
	"strings"

	"github.com/stokerhq/stoker/store/postgres/lex"
)

// selection is a SELECT taken apart: the texts of its clauses, without their keywords. "" is a clause that is not
// there.
type selection struct {
	with     string // the whole WITH clause, with its keyword
	distinct bool
	list     string
	from     string
	where    []string // conditions that must all hold
	group    string
	having   string
	window   string
	order    string
	limit    string
	offset   string
}

// clause is a keyword of a SELECT outside of all brackets, and where its text lies among the tokens.
type clause struct {
	name       string
	begin, end int // tokens of its text
}

// plain is SQL on one line: comments are gone, and white space is one blank. What stands in quotes stays as it is.
func plain(sql string) string {
	var b strings.Builder
	end := -1
	for _, t := range lex.Lex(sql) {
		if end >= 0 && t.Pos > end {
			b.WriteByte(' ')
		}
		b.WriteString(sql[t.Pos:t.End])
		end = t.End
	}
	return strings.TrimRight(b.String(), "; ")
}

// text is the source between two tokens.
func text(sql string, tokens []lex.Token, begin, end int) string {
	if begin >= end {
		return ""
	}
	return sql[tokens[begin].Pos:tokens[end-1].End]
}

// outermost calls visit with the index of each token that is in no bracket.
func outermost(tokens []lex.Token, visit func(i int)) {
	depth := 0
	for i, t := range tokens {
		if t.Is(")", "]") {
			depth--
		}
		if depth == 0 && !t.Is(")", "]") {
			visit(i)
		}
		if t.Is("(", "[") {
			depth++
		}
	}
}

// mark is a keyword's place.
type mark struct {
	at   int
	name string
}

// keyword is the clause that token i begins, and how many tokens its keyword has.
func keyword(tokens []lex.Token, i int) (name string, size int) {
	if i > 0 && tokens[i-1].Is(".", "as") {
		return "", 0
	}
	t := tokens[i]
	by := i+1 < len(tokens) && tokens[i+1].Is("by")
	switch {
	case t.Is("from") && i > 0 && tokens[i-1].Is("distinct"): // IS DISTINCT FROM
	case t.Is("select", "from", "where", "having", "window", "limit", "offset", "fetch", "for", "union", "except",
		"intersect", "into"):
		return t.Text, 1
	case t.Is("group", "order") && by:
		return t.Text, 2
	}
	return "", 0
}

// dissect takes a statement apart, or says why no job can be made of it.
func dissect(sql string) (*selection, string) {
	tokens := lex.Lex(sql)
	var marks []mark
	outermost(tokens, func(i int) {
		if name, _ := keyword(tokens, i); name != "" {
			marks = append(marks, mark{i, name})
		}
	})
	if len(marks) == 0 || marks[0].name != "select" {
		return nil, "it is not a SELECT on its own"
	}
	s := &selection{with: text(sql, tokens, 0, marks[0].at)}
	for n, m := range marks {
		end := len(tokens)
		if n+1 < len(marks) {
			end = marks[n+1].at
		}
		_, size := keyword(tokens, m.at)
		if why := s.take(clause{m.name, m.at + size, end}, sql, tokens); why != "" {
			return nil, why
		}
	}
	return s, ""
}

// take notes one clause.
func (s *selection) take(c clause, sql string, tokens []lex.Token) (why string) {
	body := text(sql, tokens, c.begin, c.end)
	switch c.name {
	case "select":
		return s.takeList(c, sql, tokens)
	case "from":
		s.from = body
	case "where":
		s.where = conjuncts(body)
	case "group":
		s.group = body
	case "having":
		s.having = body
	case "window":
		s.window = body
	case "order":
		s.order = body
	case "limit":
		s.limit = body
	case "offset":
		s.offset = rowCount(strings.TrimSuffix(strings.TrimSuffix(body, " ROWS"), " rows"))
	case "fetch":
		s.limit = fetched(body)
	case "for":
		return "it locks rows (FOR " + strings.ToUpper(body) + ")"
	case "into":
		return "it writes (SELECT INTO)"
	default:
		return "it is made of several SELECTs (" + strings.ToUpper(c.name) + ")"
	}
	return ""
}

func rowCount(body string) string {
	if body == "0" {
		return ""
	}
	return body
}

// fetched is the number in FETCH FIRST n ROWS ONLY.
func fetched(body string) string {
	for _, t := range lex.Lex(body) {
		if t.Text[0] == '$' || t.Text[0] >= '0' && t.Text[0] <= '9' {
			return t.Text
		}
	}
	return "1"
}

func (s *selection) takeList(c clause, sql string, tokens []lex.Token) (why string) {
	begin := c.begin
	if begin < c.end && tokens[begin].Is("all") {
		begin++
	}
	if begin < c.end && tokens[begin].Is("distinct") {
		if begin++; begin < c.end && tokens[begin].Is("on") {
			return "it is a DISTINCT ON"
		}
		s.distinct = true
	}
	s.list = text(sql, tokens, begin, c.end)
	return ""
}

// conjuncts splits a condition at its outermost ANDs; brackets around all of it do not count.
func conjuncts(condition string) (parts []string) {
	tokens := unbracketed(lex.Lex(condition))
	begin, between, cases, or := 0, 0, 0, false
	var cuts []int
	outermost(tokens, func(i int) {
		switch t := tokens[i]; {
		case t.Is("case"):
			cases++
		case t.Is("end") && cases > 0:
			cases--
		case cases > 0:
		case t.Is("between"):
			between++
		case t.Is("and") && between > 0:
			between--
		case t.Is("and"):
			cuts = append(cuts, i)
		case t.Is("or"):
			or = true
		}
	})
	if or || len(cuts) == 0 {
		return []string{text(condition, tokens, 0, len(tokens))}
	}
	for _, cut := range append(cuts, len(tokens)) {
		parts = append(parts, conjuncts(text(condition, tokens, begin, cut))...)
		begin = cut + 1
	}
	return parts
}

// unbracketed takes off the brackets that stand around all of the tokens.
func unbracketed(tokens []lex.Token) []lex.Token {
	for len(tokens) > 2 && tokens[0].Is("(") {
		depth := 0
		closes := slices.IndexFunc(tokens, func(t lex.Token) bool {
			if t.Is("(") {
				depth++
			} else if t.Is(")") {
				depth--
			}
			return depth == 0
		})
		if closes != len(tokens)-1 {
			return tokens
		}
		tokens = tokens[1:closes]
	}
	return tokens
}

// commaSeparated splits a list at its outermost commas.
func commaSeparated(list string) (parts []string) {
	tokens := lex.Lex(list)
	begin := 0
	outermost(tokens, func(i int) {
		if tokens[i].Is(",") {
			parts = append(parts, text(list, tokens, begin, i))
			begin = i + 1
		}
	})
	if begin < len(tokens) {
		parts = append(parts, text(list, tokens, begin, len(tokens)))
	}
	return parts
}

// parameters are the $n in SQL, in their order, each once.
func parameters(sql string) (names []string) {
	for _, t := range lex.Lex(sql) {
		if t.Kind == lex.Word && t.Text[0] == '$' && !slices.Contains(names, t.Text) {
			names = append(names, t.Text)
		}
	}
	return names
}

// mentions reports whether one of the words is among the tokens of the SQL.
func mentions(sql string, words ...string) bool {
	return slices.ContainsFunc(lex.Lex(sql), func(t lex.Token) bool { return t.Kind == lex.Word && t.Is(words...) })
}
