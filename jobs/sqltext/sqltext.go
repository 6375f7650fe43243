// Package sqltext finds where strings, quoted names and comments of SQL end, by the rules of Postgres' lexical
// structure. One that is never closed ends with its text.
package sqltext

import "strings"

// Past is the position after the next occurrence of what, or the end of s.
func Past(s string, i int, what string) int {
	if n := strings.Index(s[i:], what); n >= 0 {
		return i + n + len(what)
	}
	return len(s)
}

// PastComment is the end of a comment, in which others may nest.
func PastComment(s string, i int) int {
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

// PastQuote is the end of the string or quoted name that begins at i, which a doubled quote does not end, and with
// backslashes none behind one.
func PastQuote(s string, i int, backslashes bool) int {
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

// DollarTag is the $tag$ that s begins with, or "".
func DollarTag(s string) string {
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

// IsWord reports whether a byte can be a part of a name without quotes, or of a number.
func IsWord(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
}
