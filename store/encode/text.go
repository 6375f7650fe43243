package encode

import (
	"encoding/hex"
)

// escaped reports, as Postgres' escape_json does, which bytes cannot stand for
// themselves in a JSON string. All others can, DEL and U+2028 included.
var escaped = func() (t [256]bool) {
	for c := range 0x20 {
		t[c] = true
	}
	t['"'], t['\\'] = true, true
	return t
}()

const hexDigits = "0123456789abcdef"

// appendText serves all types whose wire bytes are the text itself.
func appendText(dst, raw []byte) ([]byte, error) {
	return appendQuoted(dst, raw), nil
}

// appendQuoted appends s as a JSON string.
func appendQuoted(dst, s []byte) []byte {
	dst = append(dst, '"')
	start := 0
	for i, c := range s {
		if escaped[c] {
			dst = append(dst, s[start:i]...)
			dst = appendEscape(dst, c)
			start = i + 1
		}
	}
	dst = append(dst, s[start:]...)
	return append(dst, '"')
}

func appendEscape(dst []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\b':
		return append(dst, '\\', 'b')
	case '\f':
		return append(dst, '\\', 'f')
	case '\n':
		return append(dst, '\\', 'n')
	case '\r':
		return append(dst, '\\', 'r')
	case '\t':
		return append(dst, '\\', 't')
	}
	return append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
}

// appendChar encodes "char", the one-byte type of the catalogs. As charout has
// it, a zero byte is the empty string and a byte above 127 is a backslash and
// three octal digits.
func appendChar(dst, raw []byte) ([]byte, error) {
	if len(raw) != 1 {
		return dst, wrongLength(`"char"`, 1, raw)
	}
	switch c := raw[0]; {
	case c == 0:
		return append(dst, '"', '"'), nil
	case c >= 0x80:
		return append(dst, '"', '\\', '\\', '0'+c>>6, '0'+c>>3&7, '0'+c&7, '"'), nil
	}
	return appendQuoted(dst, raw), nil
}

// appendBytea writes the hex form; its backslash is doubled in JSON.
func appendBytea(dst, raw []byte) ([]byte, error) {
	dst = append(dst, `"\\x`...)
	dst = hex.AppendEncode(dst, raw)
	return append(dst, '"'), nil
}

func appendUUID(dst, raw []byte) ([]byte, error) {
	if len(raw) != 16 {
		return dst, wrongLength("uuid", 16, raw)
	}
	dst = append(dst, '"')
	dst = hex.AppendEncode(dst, raw[:4])
	for i := 4; i < 10; i += 2 {
		dst = append(dst, '-')
		dst = hex.AppendEncode(dst, raw[i:i+2])
	}
	dst = append(dst, '-')
	dst = hex.AppendEncode(dst, raw[10:])
	return append(dst, '"'), nil
}
