package encode

import (
	"encoding/binary"
	"math"
)

// pack appends one non-NULL wire value in a binary format. Like an Append it
// returns dst as it was when it fails.
type pack func(d dialect, dst, raw []byte) ([]byte, error)

// packed appends a value of the kind: as its pack has it, or as the text that its
// JSON holds.
func (k *kind) packed(d dialect, dst, raw []byte) ([]byte, error) {
	switch {
	case k.pack != nil:
		return k.pack(d, dst, raw)
	case k.text:
		return packText(d, dst, raw), nil
	}
	at := len(dst)
	dst, err := k.append(dst, raw)
	if err != nil {
		return dst, err
	}
	from, to, end := at, len(dst), len(dst)
	if dst[at] == '"' {
		from, to = at+1, end-1
	}
	return prependHead(d.text(dst, to-from), at, from, to, end), nil
}

func packText(d dialect, dst, s []byte) []byte {
	return append(d.text(dst, len(s)), s...)
}

// packer returns the encoder of a type in a binary format. ok is false where
// ForOID says so.
func packer(d dialect, oid uint32) (Append, bool) {
	if k := scalar(oid); k != nil {
		return func(dst, raw []byte) ([]byte, error) { return k.packed(d, dst, raw) }, true
	}
	if k := element(oid); k != nil {
		return arrayOf(k, d), true
	}
	return nil, false
}

func packBool(d dialect, dst, raw []byte) ([]byte, error) {
	if len(raw) != 1 {
		return dst, wrongLength("bool", 1, raw)
	}
	return d.boolean(dst, raw[0] != 0), nil
}

func packInt2(d dialect, dst, raw []byte) ([]byte, error) {
	if len(raw) != 2 {
		return dst, wrongLength("int2", 2, raw)
	}
	return d.integer(dst, int64(int16(binary.BigEndian.Uint16(raw)))), nil
}

func packInt4(d dialect, dst, raw []byte) ([]byte, error) {
	if len(raw) != 4 {
		return dst, wrongLength("int4", 4, raw)
	}
	return d.integer(dst, int64(int32(binary.BigEndian.Uint32(raw)))), nil
}

func packInt8(d dialect, dst, raw []byte) ([]byte, error) {
	if len(raw) != 8 {
		return dst, wrongLength("int8", 8, raw)
	}
	return d.integer(dst, int64(binary.BigEndian.Uint64(raw))), nil
}

func packOID(d dialect, dst, raw []byte) ([]byte, error) {
	if len(raw) != 4 {
		return dst, wrongLength("oid", 4, raw)
	}
	return d.unsigned(dst, uint64(binary.BigEndian.Uint32(raw))), nil
}

func packFloat4(d dialect, dst, raw []byte) ([]byte, error) {
	if len(raw) != 4 {
		return dst, wrongLength("float4", 4, raw)
	}
	return d.float32(dst, math.Float32frombits(binary.BigEndian.Uint32(raw))), nil
}

func packFloat8(d dialect, dst, raw []byte) ([]byte, error) {
	if len(raw) != 8 {
		return dst, wrongLength("float8", 8, raw)
	}
	return d.float64(dst, math.Float64frombits(binary.BigEndian.Uint64(raw))), nil
}

func packBytea(d dialect, dst, raw []byte) ([]byte, error) {
	return append(d.bytes(dst, len(raw)), raw...), nil
}

// packChar writes "char" as charout does, like appendChar.
func packChar(d dialect, dst, raw []byte) ([]byte, error) {
	if len(raw) != 1 {
		return dst, wrongLength(`"char"`, 1, raw)
	}
	switch c := raw[0]; {
	case c == 0:
		return d.text(dst, 0), nil
	case c >= 0x80:
		return append(d.text(dst, 4), '\\', '0'+c>>6, '0'+c>>3&7, '0'+c&7), nil
	}
	return packText(d, dst, raw), nil
}
