package analyze

import (
	"slices"

	"github.com/stokerhq/stoker/store/postgres/lex"
)

// kind is what a token is.
type kind = lex.Kind

const (
	word    = lex.Word
	name    = lex.Name
	literal = lex.Literal
	symbol  = lex.Symbol
)

// token is one token of SQL. Positions do not matter here.
type token struct {
	kind kind
	text string
}

func (t token) is(texts ...string) bool {
	return (t.kind == word || t.kind == symbol) && slices.Contains(texts, t.text)
}

// identifies reports whether the token can be a part of a name.
func (t token) identifies() bool { return lex.Token{Kind: t.kind, Text: t.text}.Identifies() }

// lexed splits SQL as Postgres does.
func lexed(sql string) []token {
	list := lex.Lex(sql)
	tokens := make([]token, len(list))
	for i, t := range list {
		tokens[i] = token{t.Kind, t.Text}
	}
	return tokens
}
