package discover

import (
	"slices"
	"strings"

	"github.com/stokerhq/stoker/store/postgres/lex"
)

// equality is a condition that a value of the reader decides: expression = $n. What it says on the left makes the key.
type equality struct {
	expr  string
	param string
	array bool     // $n is an array: = ANY($n)
	more  []string // further parameters of one list: IN ($1, $2, ...)
}

// equalities reads a condition as one or more equalities. ok is false if it is something else, and then, if it has
// parameters, no key can be made of it.
func equalities(condition string) (list []equality, ok bool) {
	tokens := unbracketed(lex.Lex(condition))
	at, in := -1, false
	ambiguous := false
	outermost(tokens, func(i int) {
		switch t := tokens[i]; {
		case t.Is("=") || t.Is("in"):
			ambiguous = ambiguous || at >= 0
			at, in = i, t.Is("in")
		case t.Is("not", "is", "or", "and", "like", "ilike", "between", "<>", "!=", "<", ">", "<=", ">="):
			ambiguous = true
		}
	})
	if at <= 0 || at == len(tokens)-1 || ambiguous {
		return nil, false
	}
	left, right := tokens[:at], tokens[at+1:]
	if !in && len(parametersOf(left)) > 0 {
		left, right = right, left
	}
	if rows, both := pairs(condition, left, right); both && !in {
		return rows, true
	}
	e := equality{expr: text(condition, unbracketed(left), 0, len(unbracketed(left)))}
	if len(parametersOf(left)) > 0 || mentions(e.expr, "select") {
		return nil, false
	}
	if in {
		if e.param, e.more, ok = listed(right); !ok {
			return nil, false
		}
		return []equality{e}, true
	}
	if f := callOf(left); f != "" && callOf(right) == f { // lower(mail) = lower($1)
		right = right[2 : len(right)-1]
	}
	if e.param, e.array, e.more, ok = parameter(right); !ok {
		return nil, false
	}
	return []equality{e}, true
}

func parametersOf(tokens []lex.Token) (names []string) {
	for _, t := range tokens {
		if t.Kind == lex.Word && t.Text[0] == '$' {
			names = append(names, t.Text)
		}
	}
	return names
}

// callOf is the function that is all of an expression, of one argument or more; "" if there is none.
func callOf(tokens []lex.Token) string {
	if len(tokens) < 4 || !tokens[0].Identifies() || !tokens[1].Is("(") ||
		tokens[0].Is("any", "some", "cast", "array") {
		return ""
	}
	if inner := unbracketed(tokens[1:]); len(inner) != len(tokens)-3 {
		return ""
	}
	return tokens[0].Text
}

// pairs reads (a, b) = ($1, $2).
func pairs(sql string, left, right []lex.Token) (list []equality, ok bool) {
	if !left[0].Is("(") || !right[0].Is("(") {
		return nil, false
	}
	l, r := unbracketed(left), unbracketed(right)
	exprs := commaSeparated(text(sql, l, 0, len(l)))
	values := commaSeparated(text(sql, r, 0, len(r)))
	if len(exprs) < 2 || len(exprs) != len(values) {
		return nil, false
	}
	for i, v := range values {
		name, array, more, ok := parameter(lex.Lex(v))
		if !ok || array || more != nil || len(parameters(exprs[i])) > 0 {
			return nil, false
		}
		list = append(list, equality{expr: exprs[i], param: name})
	}
	return list, true
}

// parameter reads $n, $n::type, CAST($n AS type), ANY($n) and ANY(ARRAY[$n, ...]).
func parameter(tokens []lex.Token) (name string, array bool, more []string, ok bool) {
	tokens = unbracketed(tokens)
	switch {
	case len(tokens) == 0:
	case tokens[0].Is("any", "some") && len(tokens) > 3:
		inner := unbracketed(tokens[1:])
		if len(inner) > 3 && inner[0].Is("array") && inner[1].Is("[") {
			closes := slices.IndexFunc(inner, func(t lex.Token) bool { return t.Is("]") })
			name, more, ok = listed(inner[2:max(2, closes)])
			return name, false, more, ok && isCast(inner[closes+1:])
		}
		name, _, _, ok = parameter(inner)
		return name, true, nil, ok
	case tokens[0].Is("cast") && len(tokens) > 5 && tokens[3].Is("as") && tokens[2].Text[0] == '$':
		return tokens[2].Text, false, nil, isType(tokens[4 : len(tokens)-1])
	case tokens[0].Kind == lex.Word && tokens[0].Text[0] == '$':
		return tokens[0].Text, false, nil, isCast(tokens[1:])
	case tokens[0].Is("("): // ($1)::int
		closes := slices.IndexFunc(tokens, func(t lex.Token) bool { return t.Is(")") })
		if name, array, more, ok = parameter(tokens[:closes+1]); ok {
			return name, array, more, isCast(tokens[closes+1:])
		}
	}
	return "", false, nil, false
}

// listed reads ($1, $2, ...), and the one that Postgres 18 keeps of such a list.
func listed(tokens []lex.Token) (first string, more []string, ok bool) {
	tokens = unbracketed(tokens)
	begin := 0
	for i := 0; i <= len(tokens); i++ {
		if i < len(tokens) && !tokens[i].Is(",") {
			continue
		}
		name, array, list, ok := parameter(tokens[begin:i])
		if !ok || array || list != nil {
			return "", nil, false
		}
		if first == "" {
			first = name
		} else {
			more = append(more, name)
		}
		begin = i + 1
	}
	return first, more, first != ""
}

// isCast reports whether the tokens are casts, or none.
func isCast(tokens []lex.Token) bool {
	return len(tokens) == 0 || tokens[0].Is("::") && isType(tokens[1:])
}

// isType reports whether the tokens can be the name of a type, with further casts.
func isType(tokens []lex.Token) bool {
	return len(tokens) > 0 && !slices.ContainsFunc(tokens, func(t lex.Token) bool {
		return !t.Identifies() && !t.Is("(", ")", "[", "]", ".", ",", "::") &&
			!(t.Kind == lex.Word && strings.Trim(t.Text, "0123456789") == "")
	})
}

// replaced is SQL with each of the parameters replaced by what values says.
func replaced(sql string, values map[string]string) string {
	var b strings.Builder
	end := 0
	for _, t := range lex.Lex(sql) {
		if v, is := values[t.Text]; is && t.Kind == lex.Word {
			b.WriteString(sql[end:t.Pos] + v)
			end = t.End
		}
	}
	return b.String() + sql[end:]
}
