package encode

import (
	"encoding/binary"
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
