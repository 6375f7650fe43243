package specfile

import (
	"strings"
	"unicode"
)

// expand replaces ${VAR} and ${VAR:-default} in one scalar. It works on parsed
// scalars, not on the file, so that a value cannot add YAML and positions hold.
// $${ is a literal ${, and a lone $ (as in SQL's $1) stays. The default stands in
// for a variable that is unset or empty, as in a shell. used says whether the
// environment was asked, and so whether the result may hold a secret. Blanks and
// line breaks around a variable's value are taken off.
func expand(raw string, lookup func(string) (string, bool)) (value string, used bool, mistakes []error) {
	var out strings.Builder
	for rest := raw; ; {
		before, after, found := strings.Cut(rest, "${")
		if !found {
			out.WriteString(rest)
			return out.String(), used, mistakes
		}
		if literal, escaped := strings.CutSuffix(before, "$"); escaped {
			out.WriteString(literal + "${")
			rest = after
			continue
		}
		out.WriteString(before)
		used = true
		reference, tail, closed := strings.Cut(after, "}")
		if !closed {
			return "", used, append(mistakes, wrong("has a ${ that is not closed",
				"write ${NAME}, or $${ for a literal ${"))
		}
		text, err := resolveVariable(reference, lookup)
		if err != nil {
			mistakes = append(mistakes, err)
		}
		out.WriteString(text)
		rest = tail
	}
}

// resolveVariable gives the text for what stands between ${ and }.
func resolveVariable(reference string, lookup func(string) (string, bool)) (string, error) {
	name, fallback, hasFallback := strings.Cut(reference, ":-")
	if !isVariable(name) {
		return "", wrong("has a ${...} that names no environment variable",
			"write ${NAME} or ${NAME:-default}, or $${ for a literal ${")
	}
	value, set := lookup(name)
	value = trimBlanks(value)
	if hasFallback && value == "" {
		return fallback, nil
	}
	if !set {
		return "", wrong("needs the environment variable "+name+", which is not set",
			"set it, or give a default: ${"+name+":-...}")
	}
	return value, nil
}

func isVariable(name string) bool {
	for i, r := range name {
		letter := r == '_' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
		if !letter && (i == 0 || r < '0' || r > '9') {
			return false
		}
	}
	return name != ""
}

// trimBlanks takes off what surrounds a value that was kept in a file: line
// breaks of any system, blanks, a byte order mark.
func trimBlanks(s string) string {
	return strings.TrimFunc(s, func(r rune) bool {
		return unicode.IsSpace(r) || r == '\ufeff' || r == '\u200b' || r == 0
	})
}
