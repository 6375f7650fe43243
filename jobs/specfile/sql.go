package specfile

import (
	"bytes"
	"iter"
	"strings"

	"github.com/stokerhq/stoker/jobs/sqltext"
)

// trimQuery makes a subquery of what psql takes: the semicolons behind the last token
// become blanks, and white space at the end goes. Comments stay, wherever they are, and
// every character keeps its line and column. A semicolon before another statement stays
// too, for Postgres to refuse. The rules are those of Postgres' lexical structure. A text
// without any token gives "".
func trimQuery(s string) string {
	var ends []int // semicolons that no token follows, so far
	found := false
	for i := 0; i < len(s); {
		next, blank := token(s, i)
		switch {
		case !blank && s[i] == ';':
			ends = append(ends, i)
		case !blank:
			ends, found = ends[:0], true
		}
		i = next
	}
	if !found {
		return ""
	}
	out := []byte(s)
	for _, i := range ends {
		out[i] = ' '
	}
	return string(bytes.TrimRight(out, " \t\r\n\f\v"))
}

// tokens yields what a query is made of, without white space and comments: words
// (keywords, names, numbers), quoted names, strings, and single characters. The
// E before an escape string is a word of its own.
func tokens(s string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for i := 0; i < len(s); {
			next, blank := token(s, i)
			if !blank && !yield(s[i:next]) {
				return
			}
			i = next
		}
	}
}

// token returns where the token at i ends, and whether it is white space or a
// comment. A quote or comment that is never closed ends with s.
func token(s string, i int) (next int, blank bool) {
	switch rest := s[i:]; {
	case strings.ContainsRune(" \t\r\n\f\v", rune(s[i])):
		return i + 1, true
	case strings.HasPrefix(rest, "--"):
		if n := strings.IndexAny(rest, "\r\n"); n >= 0 {
			return i + n, true
		}
		return len(s), true
	case strings.HasPrefix(rest, "/*"):
		return sqltext.PastComment(s, i), true
	case s[i] == '\'':
		return sqltext.PastQuote(s, i, isEscape(s, i)), false
	case s[i] == '"':
		return sqltext.PastQuote(s, i, false), false
	case s[i] == '$' && (i == 0 || !isWord(s[i-1])):
		if tag := sqltext.DollarTag(rest); tag != "" {
			return sqltext.Past(s, i+len(tag), tag), false
		}
	}
	for next = i + 1; isWord(s[i]) && next < len(s) && isWord(s[next]); {
		next++
	}
	return next, false
}

// isEscape reports whether the quote at i opens an E'...' string, in which a
// backslash escapes.
func isEscape(s string, i int) bool {
	return i > 0 && (s[i-1] == 'e' || s[i-1] == 'E') && (i == 1 || !isWord(s[i-2]))
}

// isWord is sqltext.IsWord for names, which may hold a $.
func isWord(b byte) bool { return b == '$' || sqltext.IsWord(b) }
