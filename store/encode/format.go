package encode

import (
	"encoding/binary"
	"fmt"
)

// Format is how a value is written.
type Format string

// The formats.
const (
	JSON    Format = "json"
	Msgpack Format = "msgpack"
	CBOR    Format = "cbor"
	Text    Format = "text" // of single columns only: their KeyText
)

// dialect returns what writes a binary format; it is nil for the others.
func (f Format) dialect() dialect {
	switch f {
	case Msgpack:
		return msgpack{}
	case CBOR:
		return cbor{}
	}
	return nil
}

func (f Format) known() error {
	switch f {
	case JSON, Msgpack, CBOR, Text:
		return nil
	}
	return fmt.Errorf("format %q is not one of json, msgpack, cbor, text", string(f))
}

// null is how NULL is written.
func (f Format) null() []byte {
	switch d := f.dialect(); {
	case d != nil:
		return d.null(nil)
	case f == JSON:
		return []byte("null")
	}
	return nil
}

// object returns what stands around the n pairs of an object.
func (f Format) object(n int) (open, end []byte) {
	if d := f.dialect(); d != nil {
		return d.table(nil, n), nil
	}
	return []byte{'{'}, []byte{'}'}
}

// appendName appends the name of a pair.
func (f Format) appendName(dst []byte, name string) []byte {
	if d := f.dialect(); d != nil {
		return packText(d, dst, []byte(name))
	}
	return append(appendQuoted(dst, []byte(name)), ':')
}

// OpenArray begins an array of objects whose number is known only at its end:
// between two of them stands Separate, and CloseArray ends it.
func (f Format) OpenArray(dst []byte) []byte {
	switch f {
	case JSON:
		return append(dst, '[')
	case Msgpack:
		return append(dst, 0xdd, 0, 0, 0, 0)
	case CBOR:
		return append(dst, 0x9a, 0, 0, 0, 0)
	}
	return dst
}

// Separate appends what stands between two objects of an array.
func (f Format) Separate(dst []byte) []byte {
	if f == JSON {
		return append(dst, ',')
	}
	return dst
}

// CloseArray ends the array of n objects that OpenArray began at dst[at].
func (f Format) CloseArray(dst []byte, at, n int) []byte {
	switch f {
	case JSON:
		return append(dst, ']')
	case Msgpack, CBOR:
		binary.BigEndian.PutUint32(dst[at+1:], uint32(n))
	}
	return dst
}

// dialect writes the parts of a binary format. Of text, bytes, lists and tables
// it writes the head alone, which says how many bytes, items or pairs follow.
type dialect interface {
	null(dst []byte) []byte
	boolean(dst []byte, v bool) []byte
	integer(dst []byte, v int64) []byte
	unsigned(dst []byte, v uint64) []byte
	float32(dst []byte, v float32) []byte
	float64(dst []byte, v float64) []byte
	text(dst []byte, n int) []byte
	bytes(dst []byte, n int) []byte
	list(dst []byte, n int) []byte
	table(dst []byte, n int) []byte
}

// prependHead ends dst with dst[at:] made of a head and a body. The head, whose length
// is known only once there is a body, was appended last, at dst[head]; the body is
// dst[from:to].
func prependHead(dst []byte, at, from, to, head int) []byte {
	var h [5]byte // the longest head of a length below 4 GiB
	size := copy(h[:], dst[head:])
	copy(dst[at+size:], dst[from:to])
	copy(dst[at:], h[:size])
	return dst[:at+size+to-from]
}
