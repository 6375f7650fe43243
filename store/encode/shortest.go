package encode

import (
	"math"
	"math/bits"
	"strconv"
)

// appendShortest writes the shortest digits that read back as v, as Postgres
// chooses them (d2s.c, f2s.c). Go's choice is the same but for two cases:
//
//   - A decimal exactly halfway between two floats. Go writes it for the even
//     one of them, to which it reads back. Postgres does not trust every strtod
//     to round to even and wants a decimal nearer to v: 9.999999999999999e+22
//     where Go has 1e+23.
//   - A float exactly halfway between two decimals. Postgres takes the even one
//     of them: the float4 2^-12 is 0.00024414062, where Go has 0.00024414063.
func appendShortest(dst []byte, v float64, format byte, bitSize int) []byte {
	start := len(dst)
	dst = strconv.AppendFloat(dst, v, format, -1, bitSize)
	d := parseDecimal(dst[start:])
	switch {
	case isHalfway(d, v, bitSize):
		return appendNearer(dst[:start], v, format, bitSize, d.prec)
	case isBetween(d, v):
		return appendEven(dst, start, v, format, bitSize, d.prec)
	}
	return dst
}

// appendNearer adds digits until the decimal lies inside v's interval, as it
// does with 17 digits (a float4: 9) at the latest.
func appendNearer(dst []byte, v float64, format byte, bitSize, prec int) []byte {
	start := len(dst)
	for range 17 {
		prec++
		dst = strconv.AppendFloat(dst[:start], v, format, prec, bitSize)
		if isInside(dst[start:], v, bitSize) {
			break
		}
	}
	return dst
}

// appendEven rounds v to as many digits as dst has from start, half to even,
// unless that leads out of v's interval, which below a power of two is narrow.
func appendEven(dst []byte, start int, v float64, format byte, bitSize, prec int) []byte {
	var buf [32]byte
	even := strconv.AppendFloat(buf[:0], v, format, prec, bitSize)
	if !isInside(even, v, bitSize) {
		return dst
	}
	return append(dst[:start], even...)
}

// isInside reports whether text reads back as v and would with any rounding.
func isInside(text []byte, v float64, bitSize int) bool {
	back, err := strconv.ParseFloat(string(text), bitSize)
	return err == nil && back == v && !isHalfway(parseDecimal(text), v, bitSize)
}

// isHalfway reports whether d, which reads back as v, lies halfway to a neighbour:
// it is an odd multiple of half the gap between the two. Twos alone decide, for
// only integers come into question: d never has more decimals than v itself.
//
// Nor do the narrow gaps of denormals or below a power of two matter here: what
// is halfway there has more digits than the shortest decimal.
func isHalfway(d decimal, v float64, bitSize int) bool {
	mantissa := 53
	if bitSize == 32 {
		mantissa = 24
	}
	_, exp := math.Frexp(v)
	gap := exp - mantissa
	return bits.TrailingZeros64(d.digits)+d.exp == gap-1
}

// isBetween reports whether v lies halfway between d, which reads back as it, and
// the next decimal of as many digits: v has just one decimal more, a 5. Integers
// need no check of their own: for two such decimals to be in question the gap,
// of which v is a multiple, must have more twos than half a unit of d has.
func isBetween(d decimal, v float64) bool {
	fraction, exp := math.Frexp(v)
	odd := uint64(math.Abs(fraction) * (1 << 53))
	return bits.TrailingZeros64(odd)+exp-53 == d.exp-1
}

// decimal is digits·10^exp, written with prec digits after the point.
type decimal struct {
	digits uint64
	exp    int
	prec   int
}

// parseDecimal reads what AppendFloat wrote with format e or f.
func parseDecimal(text []byte) (d decimal) {
	point := false
	for i, c := range text {
		switch {
		case c == '.':
			point = true
		case c >= '0' && c <= '9':
			d.digits = d.digits*10 + uint64(c-'0')
			if point {
				d.prec++
			}
		case c == 'e':
			d.exp = parseExponent(text[i+1:]) - d.prec
			return d
		}
	}
	d.exp = -d.prec
	return d
}

// parseExponent reads a sign and digits.
func parseExponent(text []byte) int {
	exp := 0
	for _, c := range text[1:] {
		exp = exp*10 + int(c-'0')
	}
	if text[0] == '-' {
		return -exp
	}
	return exp
}
