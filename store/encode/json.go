package encode

// appendJSON copies a json value as it was written: blanks, order and
// duplicates of its names are part of it.
func appendJSON(dst, raw []byte) ([]byte, error) {
	return append(dst, raw...), nil
}

// appendJSONB drops the version byte that stands before the text on the wire.
func appendJSONB(dst, raw []byte) ([]byte, error) {
	if len(raw) == 0 || raw[0] != 1 {
		return dst, malformed("jsonb", "no version 1 before the text")
	}
	return append(dst, raw[1:]...), nil
}
