// Package lex splits SQL into tokens, by the rules of Postgres' lexical structure. What the tokens mean is for
// others to find out; what is wrong with them is Postgres' to report.
package lex

import (
	"slices"
	"strings"
)

// Kind is what a token is.
type Kind byte

// The kinds of token.
const (
	Word    Kind = iota // a keyword, a name, a number or a parameter, in lower case
	Name                // a quoted name, with its quotes
	Literal             // a string, without its quotes
	Symbol              // an operator, a bracket, a separator
)

// Token is one token of SQL.
type Token struct {
	Kind     Kind
	Text     string
	Pos, End int // in the SQL that was given: its first byte, and the one after its last
}

// Is reports whether the token is one of these words, in lower case, or symbols.
func (t Token) Is(texts ...string) bool {
	return (t.Kind == Word || t.Kind == Symbol) && slices.Contains(texts, t.Text)
}

// Identifies reports whether the token can be a part of a name.
func (t Token) Identifies() bool {
	return t.Kind == Name || t.Kind == Word && !strings.ContainsRune("0123456789$", rune(t.Text[0]))
}

// Operators are the characters that operators are made of.
const Operators = "+-*/<>=~!@#%^&|`?"

// Lex splits SQL as Postgres does: a query, the body of a function, or an expression in a plan.
func Lex(s string) (tokens []Token) {
	for i := 0; i < len(s); {
		next, t, ok := lexOne(s, i)
		if ok {
			t.Pos, t.End = i, next
			tokens = append(tokens, t)
		}
		i = next
	}
	return tokens
}

// lexOne reads the token at i; ok is false for white space and comments.
func lexOne(s string, i int) (next int, t Token, ok bool) {
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
		return next, Token{Kind: Literal, Text: strings.TrimSuffix(s[i+1:next], "'")}, true
	case c == '"':
		next = pastQuote(s, i, false)
		return next, Token{Kind: Name, Text: s[i:next]}, true
	case c == '$':
		if tag := dollarTag(rest); tag != "" {
			next = past(s, i+len(tag), tag)
			return next, Token{Kind: Literal, Text: strings.TrimSuffix(s[i+len(tag):next], tag)}, true
		}
	case strings.HasPrefix(rest, "::"):
		return i + 2, Token{Kind: Symbol, Text: "::"}, true
	case strings.IndexByte(Operators, c) >= 0:
		return lexOperator(s, i)
	}
	next = i + 1
	if s[i] != '$' && !IsWord(s[i]) {
		return next, Token{Kind: Symbol, Text: s[i:next]}, true
	}
	for next < len(s) && IsWord(s[next]) {
		next++
	}
	return next, Token{Kind: Word, Text: strings.ToLower(s[i:next])}, true
}

// lexOperator reads an operator, which a comment ends.
func lexOperator(s string, i int) (next int, t Token, ok bool) {
	for next = i; next < len(s) && strings.IndexByte(Operators, s[next]) >= 0; next++ {
		if next > i && (strings.HasPrefix(s[next:], "--") || strings.HasPrefix(s[next:], "/*")) {
			break
		}
	}
	return next, Token{Kind: Symbol, Text: s[i:next]}, true
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
	return i > 0 && (s[i-1] == 'e' || s[i-1] == 'E') && (i == 1 || !IsWord(s[i-2]))
}

// dollarTag is the $tag$ that s begins with, or "".
func dollarTag(s string) string {
	for i := 1; i < len(s); i++ {
		if s[i] == '$' {
			return s[:i+1]
		}
		if !IsWord(s[i]) || i == 1 && s[i] >= '0' && s[i] <= '9' {
			return ""
		}
	}
	return ""
}

// IsWord reports whether a byte can be a part of a name or a number.
func IsWord(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
}
