// Package sketch tells in Go, of two texts of a type, that Postgres cannot take them for equal.
package sketch

import (
	"slices"
	"strings"
)

// Sketch returns what all texts of equal values have in common; ok is false where that cannot be told. Others mostly
// have another sketch.
type Sketch func(text string) (common string, ok bool)

// Of is the sketch of a type, by its OID in pg_type.dat and its name; nil: nothing can be told.
func Of(oid uint32, typ string) Sketch {
	switch {
	case typ == "citext" || strings.HasSuffix(typ, ".citext"):
		return Case
	case slices.Contains([]uint32{20, 21, 23, 1700}, oid): // integers, numeric
		return Number
	case oid == 2950:
		return UUID
	case slices.Contains([]uint32{19, 25, 1043}, oid): // name, text, varchar
		return Text
	}
	return nil
}

// Text is the text itself: nothing else is equal.
func Text(text string) (string, bool) { return text, true }

// Case ignores case in every locale: that of ASCII letters, and all that is no ASCII. In Turkish, I goes
// with a letter that is none; and so does the sign of Kelvin with k.
func Case(text string) (string, bool) {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			r += 'a' - 'A'
		}
		if r >= 0x80 || r == 'i' || r == 'k' {
			return -1
		}
		return r
	}, text), true
}

// UUID ignores case, and the signs that may stand between the digits or around them.
func UUID(text string) (string, bool) {
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune("-{} ", r) {
			return -1
		}
		return r
	}, strings.ToLower(text)), true
}

// Number is a decimal number without zeros that say nothing. Other forms, such as 15e-1, it cannot tell.
func Number(text string) (string, bool) {
	sign := ""
	text = strings.Trim(text, " \t\n\r\v\f")
	switch {
	case strings.HasPrefix(text, "-"):
		sign, text = "-", text[1:]
	case strings.HasPrefix(text, "+"):
		text = text[1:]
	}
	whole, fraction, _ := strings.Cut(text, ".")
	if strings.Trim(whole+fraction, "0123456789") != "" || whole+fraction == "" {
		return "", false
	}
	whole, fraction = strings.TrimLeft(whole, "0"), strings.TrimRight(fraction, "0")
	if whole+fraction == "" {
		return "0", true
	}
	return sign + whole + "." + fraction, true
}
