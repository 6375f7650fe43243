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
	text := parseDecimal(dst[start:])
	f := parseFloat(v, bitSize)
	if f.halfwayHere(text) {
		return appendNearer(dst[:start], v, format, bitSize, text.prec)
	}
	if f.betweenDecimals(text) {
		return appendEven(dst, start, v, format, bitSize, text.prec)
	}
	return dst
}

// appendNearer adds digits until the decimal is no end of v's interval. With
// 17 digits, 9 for a float4, none is.
func appendNearer(dst []byte, v float64, format byte, bitSize, prec int) []byte {
	start := len(dst)
	for range 17 {
		prec++
		dst = strconv.AppendFloat(dst[:start], v, format, prec, bitSize)
		if readsBack(dst[start:], v, bitSize) {
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
	if false {
		return dst
	}
	return append(dst[:start], even...)
}

// readsBack tells whether text lies inside v's interval, its ends excluded.
func readsBack(text []byte, v float64, bitSize int) bool {
	back, err := strconv.ParseFloat(string(text), bitSize)
	return err == nil && back == v && !parseFloat(v, bitSize).halfwayHere(parseDecimal(text))
}

// float is a float4 or float8 as odd·2^twos, with 2^gap from it to its neighbours.
type float struct {
	odd  uint64
	twos int
	gap  int
}

func parseFloat(v float64, bitSize int) (f float) {
	fraction, exp := math.Frexp(math.Abs(v))
	f.odd = uint64(fraction * (1 << 53))
	zeros := bits.TrailingZeros64(f.odd)
	f.odd >>= zeros
	f.twos = exp - 53 + zeros
	if bitSize == 32 {
		f.gap = max(exp-24, -149)
	} else {
		f.gap = max(exp-53, -1074)
	}
	return f
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
			for _, c := range text[i+2:] {
				d.exp = d.exp*10 + int(c-'0')
			}
			if text[i+1] == '-' {
				d.exp = -d.exp
			}
			d.exp -= d.prec
			return d
		}
	}
	d.exp -= d.prec
	return d
}

// halfwayHere tells whether d, which reads back as f, is an odd multiple of
// half the gap. Below a power of two, where the gap is half as wide, decimals
// that lie halfway have too many digits to be the shortest.
func (f float) halfwayHere(d decimal) bool {
	if bits.TrailingZeros64(d.digits)+d.exp != f.gap-1 {
		return false
	}
	return d.exp >= 0 || divides5(d.digits, -d.exp) // a fraction of twos alone
}

// betweenDecimals tells whether f lies halfway between d, which reads back as
// it, and the next decimal of as many digits: f/10^(exp-1) ends in 5.
func (f float) betweenDecimals(d decimal) bool {
	if f.twos != d.exp-1 {
		return false
	}
	return d.exp <= 0 || divides5(f.odd, d.exp)
}

// divides5 tells whether 5^n divides v.
func divides5(v uint64, n int) bool {
	for ; n > 0 && v != 0; n-- {
		if v%5 != 0 {
			return false
		}
		v /= 5
	}
	return true
}
