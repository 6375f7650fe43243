package postgres

import (
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/stokerhq/stoker/jobs"
)

// prefilter leaves out candidates that cannot be equal to a given key, so that Postgres need not compare a
// million of them. It looks at sketches: values that are equal have one sketch, others mostly have another. What
// it lets through, Postgres decides.
type prefilter struct {
	columns  []string
	sketches []sketch // nil: nothing can be told of the column
	given    map[string]struct{}
}

// sketch returns what all texts of equal values have in common; ok is false where that cannot be told.
type sketch func(text string) (common string, ok bool)

func newPrefilter(p *plan, given []jobs.Key) *prefilter {
	f := &prefilter{columns: p.job.Key.Columns(), given: make(map[string]struct{}, len(given))}
	for i, name := range f.columns {
		s := sketchOf(p.fields[p.keys[i]], p.equal[i], p.loose[i])
		if s != nil && slices.ContainsFunc(given, func(k jobs.Key) bool { _, ok := s(k[name]); return !ok }) {
			s = nil
		}
		f.sketches = append(f.sketches, s)
	}
	for _, key := range given {
		if text, ok := f.of(key); ok {
			f.given[text] = struct{}{}
		}
	}
	return f
}

// of is the sketch of a key.
func (f *prefilter) of(key jobs.Key) (string, bool) {
	var b strings.Builder
	for i, name := range f.columns {
		if f.sketches[i] == nil {
			continue
		}
		text, ok := f.sketches[i](key[name])
		if !ok {
			return "", false
		}
		b.WriteString(text)
		b.WriteByte(0)
	}
	return b.String(), true
}

// pass reports whether a candidate may be equal to a given key.
func (f *prefilter) pass(candidate jobs.Key) bool {
	text, ok := f.of(candidate)
	if !ok {
		return true
	}
	_, may := f.given[text]
	return may
}

func sketchOf(f pgconn.FieldDescription, e equality, typ string) sketch {
	switch {
	case e.collate != "":
		return nil // it may take any text for equal
	case typ == "citext" || strings.HasSuffix(typ, ".citext"):
		return sketchCase
	case slices.Contains([]uint32{20, 21, 23, oidNumeric}, f.DataTypeOID):
		return sketchNumber
	case f.DataTypeOID == oidText:
		return func(text string) (string, bool) { return text, true }
	}
	return nil
}

// sketchCase ignores case in every locale: that of ASCII letters, and all that is no ASCII. In Turkish, I goes
// with a letter that is none; and so does the sign of Kelvin with k.
func sketchCase(text string) (string, bool) {
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

// sketchNumber is a decimal number without zeros that say nothing. Other forms, such as 15e-1, it cannot tell.
func sketchNumber(text string) (string, bool) {
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
