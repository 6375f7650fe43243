package encode

import (
	"encoding/binary"
	"math"
)

// cbor writes the shortest form of each value, but floats as wide as they are.
type cbor struct{}

// The major types of RFC 8949, as they stand in the first byte.
const (
	cborUnsigned = iota << 5
	cborNegative
	cborBytes
	cborText
	cborList
	cborTable
)

func (cbor) null(dst []byte) []byte { return append(dst, 0xf6) }

func (cbor) boolean(dst []byte, v bool) []byte {
	if v {
		return append(dst, 0xf5)
	}
	return append(dst, 0xf4)
}

func (cbor) integer(dst []byte, v int64) []byte {
	if v < 0 {
		return cborHead(dst, cborNegative, uint64(-1-v))
	}
	return cborHead(dst, cborUnsigned, uint64(v))
}

func (cbor) unsigned(dst []byte, v uint64) []byte { return cborHead(dst, cborUnsigned, v) }

func (cbor) float32(dst []byte, v float32) []byte {
	return binary.BigEndian.AppendUint32(append(dst, 0xfa), math.Float32bits(v))
}

func (cbor) float64(dst []byte, v float64) []byte {
	return binary.BigEndian.AppendUint64(append(dst, 0xfb), math.Float64bits(v))
}

func (cbor) text(dst []byte, n int) []byte  { return cborHead(dst, cborText, uint64(n)) }
func (cbor) bytes(dst []byte, n int) []byte { return cborHead(dst, cborBytes, uint64(n)) }
func (cbor) list(dst []byte, n int) []byte  { return cborHead(dst, cborList, uint64(n)) }
func (cbor) table(dst []byte, n int) []byte { return cborHead(dst, cborTable, uint64(n)) }

// cborHead writes a major type and its argument.
func cborHead(dst []byte, major byte, v uint64) []byte {
	switch {
	case v < 24:
		return append(dst, major|byte(v))
	case v <= math.MaxUint8:
		return append(dst, major|24, byte(v))
	case v <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(dst, major|25), uint16(v))
	case v <= math.MaxUint32:
		return binary.BigEndian.AppendUint32(append(dst, major|26), uint32(v))
	}
	return binary.BigEndian.AppendUint64(append(dst, major|27), v)
}
