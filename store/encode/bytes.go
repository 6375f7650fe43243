package encode

import "encoding/hex"

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
