package encode

import (
	"strconv"
)

// maxDepth is how deep json may be nested. The libraries that read what we write
// have such limits too.
const maxDepth = 1000

// packJSON turns JSON text into the values it stands for. A whole number of 64
// bits becomes an integer, any other number the float64 nearest to it, as in most
// readers of JSON. Names stay in order, and twice if they come twice.
func packJSON(d dialect, dst, raw []byte) ([]byte, error) {
	r := jsonReader{dialect: d, src: raw, dst: dst}
	problem := r.value()
	if r.peek(); problem == "" && r.at < len(raw) {
		problem = "text after its end"
	}
	if problem != "" {
		return dst, malformed("json", problem)
	}
	return r.dst, nil
}

func packJSONB(d dialect, dst, raw []byte) ([]byte, error) {
	if len(raw) == 0 || raw[0] != 1 {
		return dst, malformed("jsonb", "no version 1 before the text")
	}
	return packJSON(d, dst, raw[1:])
}

// jsonReader reads src from at on and appends what it finds to dst. Its methods
// return what is wrong with the text.
type jsonReader struct {
	dialect dialect
	src     []byte
	at      int
	depth   int
	dst     []byte
}

// peek skips blanks and returns the next byte, or 0 at the end.
func (r *jsonReader) peek() byte {
	for ; r.at < len(r.src); r.at++ {
		switch c := r.src[r.at]; c {
		case ' ', '\t', '\n', '\r':
		default:
			return c
		}
	}
	return 0
}

func (r *jsonReader) value() (problem string) {
	switch c := r.peek(); {
	case c == '{', c == '[':
		return r.container(c)
	case c == '"':
		return r.text()
	case c == '-', c >= '0' && c <= '9':
		return r.number()
	case r.skip("null"):
		r.dst = r.dialect.null(r.dst)
	case r.skip("true"):
		r.dst = r.dialect.boolean(r.dst, true)
	case r.skip("false"):
		r.dst = r.dialect.boolean(r.dst, false)
	default:
		return "a value is missing"
	}
	return ""
}

// skip goes past a word if it comes next.
func (r *jsonReader) skip(word string) bool {
	if rest := r.src[r.at:]; len(rest) < len(word) || string(rest[:len(word)]) != word {
		return false
	}
	r.at += len(word)
	return true
}

// container reads an object or array. Its head is kept a byte free, which is
// enough for most: the others are moved up when they end.
func (r *jsonReader) container(opening byte) (problem string) {
	if r.depth++; r.depth > maxDepth {
		return "nested deeper than " + strconv.Itoa(maxDepth) + " levels"
	}
	at, n := len(r.dst), 0
	r.dst = append(r.dst, 0)
	r.at++
	closing := opening + 2 // of { and [ alike
	if r.peek() == closing {
		r.at++
	} else if n, problem = r.members(closing); problem != "" {
		return problem
	}
	end := len(r.dst)
	if opening == '{' {
		r.dst = r.dialect.table(r.dst, n)
	} else {
		r.dst = r.dialect.list(r.dst, n)
	}
	r.dst = prependHead(r.dst, at, at+1, end, end)
	r.depth--
	return ""
}

// members reads what stands between brackets, and the closing one.
func (r *jsonReader) members(closing byte) (n int, problem string) {
	for {
		if closing == '}' {
			if problem = r.name(); problem != "" {
				return n, problem
			}
		}
		if problem = r.value(); problem != "" {
			return n, problem
		}
		n++
		c := r.peek()
		r.at++
		switch c {
		case closing:
			return n, ""
		case ',':
		default:
			return n, "a comma or bracket is missing"
		}
	}
}

// name reads a name and its colon.
func (r *jsonReader) name() (problem string) {
	if r.peek() != '"' {
		return "a name is missing"
	}
	if problem = r.text(); problem != "" {
		return problem
	}
	if r.peek() != ':' {
		return "a colon is missing"
	}
	r.at++
	return ""
}
