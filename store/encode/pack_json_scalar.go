package encode

import "strconv"

// text reads a string.
func (r *jsonReader) text() (problem string) {
	start, escapes := r.at, false
	for r.at++; r.at < len(r.src); r.at++ {
		switch c := r.src[r.at]; {
		case c == '"':
			r.at++
			return r.put(r.src[start:r.at], escapes)
		case c == '\\':
			escapes = true
			r.at++
		case c < ' ':
			return "a control character in a string"
		}
	}
	return "a string without its end"
}

// put appends a string, quotes included in s.
func (r *jsonReader) put(s []byte, escapes bool) (problem string) {
	if !escapes {
		r.dst = packText(r.dialect, r.dst, s[1:len(s)-1])
		return ""
	}
	at := len(r.dst)
	dst, problem := unescape(r.dst, s, true)
	if problem != "" {
		return problem
	}
	end := len(dst)
	r.dst = prependHead(r.dialect.text(dst, end-at), at, at, end, end)
	return ""
}

// number reads a number.
func (r *jsonReader) number() (problem string) {
	start := r.at
	if r.src[r.at] == '-' {
		r.at++
	}
	if !r.skip("0") && r.digits() == 0 {
		return "a number without digits"
	}
	whole := true
	if r.skip(".") {
		whole = false
		if r.digits() == 0 {
			return "a number without digits"
		}
	}
	if r.skip("e") || r.skip("E") {
		whole = false
		_ = r.skip("+") || r.skip("-")
		if r.digits() == 0 {
			return "a number without digits"
		}
	}
	r.putNumber(string(r.src[start:r.at]), whole)
	return ""
}

// digits goes past digits and returns how many.
func (r *jsonReader) digits() int {
	start := r.at
	for r.at < len(r.src) && r.src[r.at] >= '0' && r.src[r.at] <= '9' {
		r.at++
	}
	return r.at - start
}

func (r *jsonReader) putNumber(s string, whole bool) {
	if whole {
		if v, err := strconv.ParseInt(s, 10, 64); err == nil {
			r.dst = r.dialect.integer(r.dst, v)
			return
		}
		if v, err := strconv.ParseUint(s, 10, 64); err == nil {
			r.dst = r.dialect.unsigned(r.dst, v)
			return
		}
	}
	v, _ := strconv.ParseFloat(s, 64) // out of range it is infinite, which is the nearest there is
	r.dst = r.dialect.float64(r.dst, v)
}
