// Package lex splits SQL into tokens, by the rules of Postgres' lexical structure. What the tokens mean is for
// others to find out; what is wrong with them is Postgres' to report.
package lex

import (
	"slices"
	"strings"

	"github.com/stokerhq/stoker/jobs/sqltext"
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
		return sqltext.Past(s, i, "\n"), t, false
	case strings.HasPrefix(rest, "/*"):
		return sqltext.PastComment(s, i), t, false
	case c == '\'':
		next = sqltext.PastQuote(s, i, isEscape(s, i))
		return next, Token{Kind: Literal, Text: strings.TrimSuffix(s[i+1:next], "'")}, true
	case c == '"':
		next = sqltext.PastQuote(s, i, false)
		return next, Token{Kind: Name, Text: s[i:next]}, true
	case c == '$':
		if tag := sqltext.DollarTag(rest); tag != "" {
			next = sqltext.Past(s, i+len(tag), tag)
			return next, Token{Kind: Literal, Text: strings.TrimSuffix(s[i+len(tag):next], tag)}, true
		}
	case strings.HasPrefix(rest, "::"):
		return i + 2, Token{Kind: Symbol, Text: "::"}, true
	case strings.IndexByte(Operators, c) >= 0:
		return lexOperator(s, i)
	}
	next = i + 1
	if s[i] != '$' && !sqltext.IsWord(s[i]) {
		return next, Token{Kind: Symbol, Text: s[i:next]}, true
	}
	for next < len(s) && sqltext.IsWord(s[next]) {
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

// isEscape reports whether the quote at i opens an E'...' string.
func isEscape(s string, i int) bool {
	return i > 0 && (s[i-1] == 'e' || s[i-1] == 'E') && (i == 1 || !sqltext.IsWord(s[i-2]))
}
