package encode

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	fxcbor "github.com/fxamacker/cbor/v2"
	vmsgpack "github.com/vmihailenco/msgpack/v5"
)

// maxDims is Postgres' MAXDIM.
const maxDims = 6

// shape is the head of an array's wire form, taken apart.
type shape struct {
	elem   uint32
	ndim   int
	items  int
	stride [maxDims]int // elements in one slice of each dimension
}

// arrayOf returns the encoder of a type's arrays, which nests brackets (or, where
// there is a dialect, lists) and drops the lower bounds, as array_to_json does.
func arrayOf(k *kind, d dialect) Append {
	name := k.name + "[]"
	return func(dst, raw []byte) ([]byte, error) {
		s, rest, problem := readShape(raw)
		if problem != "" {
			return dst, malformed(name, problem)
		}
		// Like array_to_json, believe the array and not the column: Postgres
		// can show text under the name of varchar without touching it.
		elem := k
		if s.elem != k.oid {
			if elem = scalar(s.elem); elem == nil {
				return dst, malformed(name, "elements of type "+strconv.FormatUint(uint64(s.elem), 10))
			}
		}
		if d != nil {
			return packElements(d, dst, rest, &s, elem, name)
		}
		return appendElements(dst, rest, &s, elem, name)
	}
}

// readShape reads ndim, flags, element type and, a dimension, its length and
// lower bound. It promises that rest has room for all the items, so that what
// is written is bounded by what was received.
func readShape(raw []byte) (s shape, rest []byte, problem string) {
	if len(raw) < 12 {
		return s, nil, "no room for its head"
	}
	ndim := binary.BigEndian.Uint32(raw)
	s.elem = binary.BigEndian.Uint32(raw[8:])
	rest = raw[12:]
	if ndim > maxDims {
		return s, nil, "more than 6 dimensions"
	}
	s.ndim = int(ndim)
	if len(rest) < 8*s.ndim {
		return s, nil, "no room for its dimensions"
	}
	dims := rest[:8*s.ndim]
	rest = rest[8*s.ndim:]
	s.items = min(1, s.ndim)
	for d := s.ndim - 1; d >= 0; d-- {
		items := uint64(s.items) * uint64(binary.BigEndian.Uint32(dims[8*d:]))
		if items > uint64(len(rest)/4) {
			return s, nil, "more elements announced than sent"
		}
		s.items = int(items)
		s.stride[d] = s.items
	}
	return s, rest, ""
}

func appendElements(dst, rest []byte, s *shape, elem *kind, name string) ([]byte, error) {
	if s.items == 0 {
		if len(rest) != 0 {
			return dst, malformed(name, "bytes after its end")
		}
		return append(dst, '[', ']'), nil
	}
	start := len(dst)
	for i := range s.items {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = s.brackets(dst, i, '[')
		raw, tail, ok := cutElement(rest)
		if !ok {
			return dst[:start], malformed(name, "an element longer than the rest")
		}
		rest = tail
		if raw == nil {
			dst = append(dst, "null"...)
		} else {
			var err error
			if dst, err = elem.append(dst, raw); err != nil {
				return dst[:start], malformed(name, err.Error())
			}
		}
		dst = s.brackets(dst, i+1, ']')
	}
	if len(rest) != 0 {
		return dst[:start], malformed(name, "bytes after its end")
	}
	return dst, nil
}

// brackets appends one bracket for every dimension that has a slice beginning
// (or ending) where i elements have been written.
func (s *shape) brackets(dst []byte, i int, bracket byte) []byte {
	if s.ndim == 1 {
		if i == 0 || i == s.items {
			dst = append(dst, bracket)
		}
		return dst
	}
	for d := range s.ndim {
		if i%s.stride[d] == 0 {
			dst = append(dst, bracket)
		}
	}
	return dst
}

// cutElement takes the next element, nil for NULL, from the front of rest.
func cutElement(rest []byte) (raw, tail []byte, ok bool) {
	if len(rest) < 4 {
		return nil, nil, false
	}
	size := int(int32(binary.BigEndian.Uint32(rest)))
	rest = rest[4:]
	if size == -1 {
		return nil, rest, true
	}
	if size < 0 || size > len(rest) {
		return nil, nil, false
	}
	return rest[:size:size], rest[size:], true
}

// Elements cuts an array into its elements, as they are written. It is for
// looking at values that are there, not for making them.
func (f Format) Elements(value []byte) ([][]byte, error) {
	switch f {
	case JSON:
		return cut[json.RawMessage](value, json.Unmarshal)
	case Msgpack:
		return cut[vmsgpack.RawMessage](value, unmarshalMsgpack)
	case CBOR:
		return cut[fxcbor.RawMessage](value, fxcbor.Unmarshal)
	}
	return nil, fmt.Errorf("format %q has no arrays", string(f))
}

func cut[T ~[]byte](value []byte, unmarshal func([]byte, any) error) ([][]byte, error) {
	var raw []T
	if err := unmarshal(value, &raw); err != nil {
		return nil, fmt.Errorf("cut an array into its elements: %w", err)
	}
	out := make([][]byte, len(raw))
	for i, e := range raw {
		out[i] = e
	}
	return out, nil
}

// unmarshalMsgpack refuses what follows the value, as the others do.
func unmarshalMsgpack(b []byte, v any) error {
	r := bytes.NewReader(b)
	if err := vmsgpack.NewDecoder(r).Decode(v); err != nil {
		return err
	}
	if r.Len() > 0 {
		return errors.New("something follows the array")
	}
	return nil
}
