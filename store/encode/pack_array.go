package encode

// packElements is appendElements for binary formats.
func packElements(d dialect, dst, rest []byte, s *shape, elem *kind, name string) ([]byte, error) {
	start := len(dst)
	if s.items == 0 {
		dst = d.list(dst, 0)
	}
	for i := range s.items {
		dst = s.heads(d, dst, i)
		raw, tail, ok := cutElement(rest)
		if !ok {
			return dst[:start], malformed(name, "an element longer than the rest")
		}
		rest = tail
		if raw == nil {
			dst = d.null(dst)
			continue
		}
		var err error
		if dst, err = elem.packed(d, dst, raw); err != nil {
			return dst[:start], malformed(name, err.Error())
		}
	}
	if len(rest) != 0 {
		return dst[:start], malformed(name, "bytes after its end")
	}
	return dst, nil
}

// heads appends the head of a list for every dimension that has a slice beginning
// at element i.
func (s *shape) heads(d dialect, dst []byte, i int) []byte {
	for dim := range s.ndim {
		if i%s.stride[dim] != 0 {
			continue
		}
		inner := 1
		if dim+1 < s.ndim {
			inner = s.stride[dim+1]
		}
		dst = d.list(dst, s.stride[dim]/inner)
	}
	return dst
}
