package postgres

import (
	"slices"
	"strings"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store/postgres/sketch"
)

// prefilter leaves out candidates that cannot be equal to a given key, so that Postgres need not compare a
// million of them. It looks at sketches: values that are equal have one sketch, others mostly have another. What
// it lets through, Postgres decides.
type prefilter struct {
	columns  []string
	sketches []sketch.Sketch // nil: nothing can be told of the column
	given    map[string]struct{}
}

// newPrefilter compares by some of the key's columns, or all.
func newPrefilter(p *plan, columns []string, given []jobs.Key) *prefilter {
	f := &prefilter{columns: columns, given: make(map[string]struct{}, len(given))}
	for _, name := range columns {
		i := slices.Index(p.job.Key.Columns(), name)
		var s sketch.Sketch
		if p.equal[i].collate == "" { // else it may take any text for equal
			s = sketch.Of(p.fields[p.keys[i]].DataTypeOID, p.loose[i])
		}
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
