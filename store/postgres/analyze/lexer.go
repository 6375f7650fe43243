package analyze

import (
	"iter"
	"slices"
	"strings"
)

// kind is what a token is.
type kind byte

const (
	word    kind = iota // a keyword, a name or a number, in lower case
	name                // a quoted name, with its quotes
	literal             // a string, without its quotes
	symbol              // an operator, a bracket, a separator
)

// token is one token of SQL. Positions do not matter: errors are Postgres' to report.
type token struct {
	kind kind
	text string
}

func (t token) is(texts ...string) bool {
	return (t.kind == word || t.kind == symbol) && slices.Contains(texts, t.text)
}

// identifies reports whether the token can be a part of a name.
func (t token) identifies() bool {
	return t.kind == name || t.kind == word && !strings.ContainsRune("0123456789$", rune(t.text[0]))
}

// operators are the characters that operators are made of.
const operators = "+-*/<>=~!@#%^&|`?"

// lex splits SQL as Postgres does: a query, the body of a function, or an expression in a plan.
func lex(sql string) []token { return slices.Collect(tokens(sql)) }

func tokens(s string) iter.Seq[token] {
	return func(yield func(token) bool) {
		for i := 0; i < len(s); {
			next, t, ok := lexOne(s, i)
			if ok && !yield(t) {
				return
			}
			i = next
		}
	}
}

// lexOne reads the token at i; ok is false for white space and comments.
func lexOne(s string, i int) (next int, t token, ok bool) {
	rest := s[i:]
	switch c := s[i]; {
	case strings.IndexByte(" \t\r\n\f\v", c) >= 0:
		return i + 1, t, false
	case strings.HasPrefix(rest, "--"):
		return past(s, i, "\n"), t, false
	case strings.HasPrefix(rest, "/*"):
		return pastComment(s, i), t, false
	case c == '\'':
		next = pastQuote(s, i, isEscape(s, i))
		return next, token{literal, strings.TrimSuffix(s[i+1:next], "'")}, true
	case c == '"':
		next = pastQuote(s, i, false)
		return next, token{name, s[i:next]}, true
	case c == '$':
		if tag := dollarTag(rest); tag != "" {
			next = past(s, i+len(tag), tag)
			return next, token{literal, strings.TrimSuffix(s[i+len(tag):next], tag)}, true
		}
	case strings.HasPrefix(rest, "::"):
		return i + 2, token{symbol, "::"}, true
	case strings.IndexByte(operators, c) >= 0:
		return lexOperator(s, i)
	}
	next = i + 1
	if s[i] != '$' && !isWord(s[i]) {
		return next, token{symbol, s[i:next]}, true
	}
	for next < len(s) && isWord(s[next]) {
		next++
	}
	return next, token{word, strings.ToLower(s[i:next])}, true
}

// lexOperator reads an operator, which a comment ends.
func lexOperator(s string, i int) (next int, t token, ok bool) {
	for next = i; next < len(s) && strings.IndexByte(operators, s[next]) >= 0; next++ {
		if next > i && (strings.HasPrefix(s[next:], "--") || strings.HasPrefix(s[next:], "/*")) {
			break
		}
	}
	return next, token{symbol, s[i:next]}, true
}

// past is the position after the next occurrence of what, or the end of s.
func past(s string, i int, what string) int {
	if n := strings.Index(s[i:], what); n >= 0 {
		return i + n + len(what)
	}
	return len(s)
}

// pastComment is the end of a comment, in which others may nest.
func pastComment(s string, i int) int {
	depth := 0
	for i < len(s) {
		switch {
		case strings.HasPrefix(s[i:], "/*"):
			depth++
			i += 2
		case strings.HasPrefix(s[i:], "*/"):
			depth--
			i += 2
			if depth == 0 {
				return i
			}
		default:
			i++
		}
	}
	return len(s)
}

// pastQuote is the end of a string or quoted name, which a doubled quote does not end.
func pastQuote(s string, i int, backslashes bool) int {
	quote := s[i]
	for i++; i < len(s); i++ {
		switch {
		case backslashes && s[i] == '\\':
			i++
		case s[i] != quote:
		case i+1 < len(s) && s[i+1] == quote:
			i++
		default:
			return i + 1
		}
	}
	return len(s)
}

// isEscape reports whether the quote at i opens an E'...' string.
func isEscape(s string, i int) bool {
	return i > 0 && (s[i-1] == 'e' || s[i-1] == 'E') && (i == 1 || !isWord(s[i-2]))
}

// dollarTag is the $tag$ that s begins with, or "".
func dollarTag(s string) string {
	for i := 1; i < len(s); i++ {
		if s[i] == '$' {
			return s[:i+1]
		}
		if !isWord(s[i]) || i == 1 && s[i] >= '0' && s[i] <= '9' {
			return ""
		}
	}
	return ""
}

func isWord(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
}
