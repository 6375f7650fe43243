package encode

import (
	"bytes"
	"unicode/utf16"
	"unicode/utf8"
)

// KeyText returns the encoder of a type's values for use in a key: their JSON,
// and where that is a string, its content without quotes and escapes, as
// to_json(v) #>> '{}' has it. A json null becomes null, and blanks around a json
// value are dropped. ok is false where ForOID says so.
func KeyText(oid uint32) (Append, bool) {
	if k := scalar(oid); k != nil && k.text {
		return func(dst, raw []byte) ([]byte, error) { return append(dst, raw...), nil }, true
	}
	value, ok := ForOID(oid)
	if !ok {
		return nil, false
	}
	return func(dst, raw []byte) ([]byte, error) {
		start := len(dst)
		out, err := value(dst, raw)
		if err != nil {
			return dst, err
		}
		text := bytes.Trim(out[start:], " \t\r\n")
		if len(text) == 0 || text[0] != '"' {
			return append(out[:start], text...), nil
		}
		// The content is never longer than what it is read from, so it can be
		// written over it.
		out, problem := unescape(out[:start], text, false)
		if problem != "" {
			return dst, malformed("json", problem)
		}
		return out, nil
	}, true
}

// unescape appends the content of a JSON string, quotes included in s. dst may
// end where s begins, or before. Zeros and halves of surrogate pairs, which json
// may hold as escapes but no text of Postgres does, are a problem unless mend is
// set: then they become zeros and U+FFFD.
func unescape(dst, s []byte, mend bool) (out []byte, problem string) {
	const unclosed = "a string without its end"
	for i := 1; i < len(s); {
		switch c := s[i]; {
		case c == '"':
			if i+1 != len(s) {
				return nil, "text after a string"
			}
			return dst, ""
		case c != '\\':
			dst = append(dst, c)
			i++
		case i+1 == len(s):
			return nil, unclosed
		case s[i+1] == 'u':
			r, size := unescapeRune(s[i:], mend)
			if size == 0 {
				return nil, `an escape \u that is no character`
			}
			dst = utf8.AppendRune(dst, r)
			i += size
		default:
			plain, ok := unescapeByte(s[i+1])
			if !ok {
				return nil, "an unknown escape"
			}
			dst = append(dst, plain)
			i += 2
		}
	}
	return nil, unclosed
}

func unescapeByte(c byte) (plain byte, ok bool) {
	switch c {
	case '"', '\\', '/':
		return c, true
	case 'b':
		return '\b', true
	case 'f':
		return '\f', true
	case 'n':
		return '\n', true
	case 'r':
		return '\r', true
	case 't':
		return '\t', true
	}
	return 0, false
}

// unescapeRune reads \uXXXX, or a surrogate pair of these, at the front of s and
// returns how long it is: 0 when it is no character.
func unescapeRune(s []byte, mend bool) (r rune, size int) {
	r = unescapeUnit(s)
	if r < 0 || r == 0 && !mend {
		return 0, 0
	}
	if !utf16.IsSurrogate(r) {
		return r, 6
	}
	if pair := utf16.DecodeRune(r, unescapeUnit(s[6:])); pair != utf8.RuneError {
		return pair, 12
	}
	if mend {
		return utf8.RuneError, 6
	}
	return 0, 0
}

// unescapeUnit reads one \uXXXX; it returns -1 when there is none.
func unescapeUnit(s []byte) rune {
	if len(s) < 6 || s[0] != '\\' || s[1] != 'u' {
		return -1
	}
	var unit rune
	for _, c := range s[2:6] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		default:
			return -1
		}
		unit = unit<<4 | rune(c)
	}
	return unit
}
