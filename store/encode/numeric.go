package encode

import "encoding/binary"

// Signs and limits of numeric's wire form.
const (
	numericPositive    = 0x0000
	numericNegative    = 0x4000
	numericNaN         = 0xC000
	numericPosInfinity = 0xD000
	numericNegInfinity = 0xF000
	numericMaxScale    = 0x3FFF
)

// appendNumeric prints the base-10000 digits with all of the scale, as
// get_str_from_var does; it never goes through a float.
func appendNumeric(dst, raw []byte) ([]byte, error) {
	if len(raw) < 8 {
		return dst, malformed("numeric", "no room for its head")
	}
	sign := binary.BigEndian.Uint16(raw[4:])
	switch sign {
	case numericPositive, numericNegative:
	case numericNaN:
		return append(dst, `"NaN"`...), nil
	case numericPosInfinity:
		return append(dst, `"Infinity"`...), nil
	case numericNegInfinity:
		return append(dst, `"-Infinity"`...), nil
	default:
		return dst, malformed("numeric", "unknown sign")
	}
	digits := raw[8:]
	weight := int(int16(binary.BigEndian.Uint16(raw[2:])))
	scale := int(binary.BigEndian.Uint16(raw[6:]))
	if len(digits) != 2*int(binary.BigEndian.Uint16(raw)) {
		return dst, malformed("numeric", "digits announced are not those sent")
	}
	if problem := checkNumeric(digits, weight, scale); problem != "" {
		return dst, malformed("numeric", problem)
	}
	if sign == numericNegative {
		dst = append(dst, '-')
	}
	dst = appendWhole(dst, digits, weight)
	return appendScale(dst, digits, weight, scale), nil
}

func checkNumeric(digits []byte, weight, scale int) (problem string) {
	if scale > numericMaxScale {
		return "scale too large"
	}
	if weight > 0 && digit(digits, 0) == 0 { // Postgres strips it, and JSON has no 007
		return "a leading zero"
	}
	for i := 0; i < len(digits); i += 2 {
		if binary.BigEndian.Uint16(digits[i:]) > 9999 {
			return "a digit above 9999"
		}
	}
	return ""
}

// appendWhole prints what stands before the point: the digits of weight down
// to 0, the first without its leading zeros.
func appendWhole(dst, digits []byte, weight int) []byte {
	if weight < 0 {
		return append(dst, '0')
	}
	first := digit(digits, 0)
	four := [4]byte{byte(first/1000) + '0', byte(first/100%10) + '0', byte(first/10%10) + '0', byte(first%10) + '0'}
	skip := 0
	for skip < 3 && four[skip] == '0' {
		skip++
	}
	dst = append(dst, four[skip:]...)
	for i := 1; i <= weight; i++ {
		dst = append4(dst, digit(digits, i))
	}
	return dst
}

// appendScale prints exactly scale decimals after the point.
func appendScale(dst, digits []byte, weight, scale int) []byte {
	if scale == 0 {
		return dst
	}
	dst = append(dst, '.')
	end := len(dst) + scale
	for i := weight + 1; len(dst) < end; i++ {
		dst = append4(dst, digit(digits, i))
	}
	return dst[:end]
}

// digit returns the i-th base-10000 digit; those not sent are zero.
func digit(digits []byte, i int) uint32 {
	if i < 0 || 2*i >= len(digits) {
		return 0
	}
	return uint32(binary.BigEndian.Uint16(digits[2*i:]))
}

// append4 appends v, below 10000, with four digits.
func append4(dst []byte, v uint32) []byte {
	return append(dst, byte(v/1000)+'0', byte(v/100%10)+'0', byte(v/10%10)+'0', byte(v%10)+'0')
}

// append2 appends v, below 100, with two digits.
func append2(dst []byte, v uint32) []byte {
	return append(dst, byte(v/10)+'0', byte(v%10)+'0')
}
