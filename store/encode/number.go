package encode

import (
	"encoding/binary"
	"math"
	"strconv"
)

func appendBool(dst, raw []byte) ([]byte, error) {
	if len(raw) != 1 {
		return dst, wrongLength("bool", 1, raw)
	}
	return strconv.AppendBool(dst, raw[0] != 0), nil
}

func appendInt2(dst, raw []byte) ([]byte, error) {
	if len(raw) != 2 {
		return dst, wrongLength("int2", 2, raw)
	}
	return strconv.AppendInt(dst, int64(int16(binary.BigEndian.Uint16(raw))), 10), nil
}

func appendInt4(dst, raw []byte) ([]byte, error) {
	if len(raw) != 4 {
		return dst, wrongLength("int4", 4, raw)
	}
	return strconv.AppendInt(dst, int64(int32(binary.BigEndian.Uint32(raw))), 10), nil
}

func appendInt8(dst, raw []byte) ([]byte, error) {
	if len(raw) != 8 {
		return dst, wrongLength("int8", 8, raw)
	}
	return strconv.AppendInt(dst, int64(binary.BigEndian.Uint64(raw)), 10), nil
}

// appendOID quotes: to_json takes an oid for a name, not for a number.
func appendOID(dst, raw []byte) ([]byte, error) {
	if len(raw) != 4 {
		return dst, wrongLength("oid", 4, raw)
	}
	dst = append(dst, '"')
	dst = strconv.AppendUint(dst, uint64(binary.BigEndian.Uint32(raw)), 10)
	return append(dst, '"'), nil
}

func appendFloat4(dst, raw []byte) ([]byte, error) {
	if len(raw) != 4 {
		return dst, wrongLength("float4", 4, raw)
	}
	v := math.Float32frombits(binary.BigEndian.Uint32(raw))
	switch size := math.Abs(float64(v)); {
	case size == 0 || size >= float64(float32(1e-4)) && size < 1e6:
		return appendShortest(dst, float64(v), 'f', 32), nil
	case size > 0 && size <= math.MaxFloat32:
		return appendShortest(dst, float64(v), 'e', 32), nil
	}
	return appendNonFinite(dst, float64(v)), nil
}

// appendFloat8 follows float8out with extra_float_digits=1: the shortest digits
// that read back as v, with an exponent where that is below -4 or at least 15
// (for float4: 6). Zero keeps its sign.
func appendFloat8(dst, raw []byte) ([]byte, error) {
	if len(raw) != 8 {
		return dst, wrongLength("float8", 8, raw)
	}
	v := math.Float64frombits(binary.BigEndian.Uint64(raw))
	switch size := math.Abs(v); {
	case size == 0 || size >= 1e-4 && size < 1e15:
		return appendShortest(dst, v, 'f', 64), nil
	case size > 0 && size <= math.MaxFloat64:
		return appendShortest(dst, v, 'e', 64), nil
	}
	return appendNonFinite(dst, v), nil
}

func appendNonFinite(dst []byte, v float64) []byte {
	switch {
	case v > 0:
		return append(dst, `"Infinity"`...)
	case v < 0:
		return append(dst, `"-Infinity"`...)
	}
	return append(dst, `"NaN"`...)
}
