package discover

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/stokerhq/stoker/store"
)

// signature says which statements one job can answer: all of it but the list must agree.
type signature struct {
	body string
	list string
	wide bool // the list has columns of one table alone: lists of several statements can be united
	q    *set
}

func (s *set) signature(d *discovery, many bool) signature {
	parts := []string{s.with, s.from, strings.Join(sorted(s.where), " AND "), s.group, s.having, s.window,
		strconv.FormatBool(s.distinct), strconv.FormatBool(many), s.keyNames(d, "")}
	if many || len(s.keys) == 0 {
		parts = append(parts, s.order, strconv.FormatInt(s.top, 10), s.offset)
	}
	wide := s.single && !s.distinct && s.group == "" && !s.byKey && len(s.keys) > 0 && !many
	for _, o := range outputs(s.list) {
		wide = wide && (o.star && o.expr == "" || o.expr != "" && columnName(o.expr) == o.name)
	}
	return signature{body: strings.Join(parts, "\x00"), list: s.list, wide: wide, q: s}
}

func sorted(list []string) []string {
	list = slices.Clone(list)
	slices.Sort(list)
	return list
}

// merged makes one job of those that read the same, the costliest first, and gives each its own name.
func (d *discovery) merged(ctx context.Context, found []Found) (out []Found, err error) {
	for _, f := range found {
		i := slices.IndexFunc(out, func(o Found) bool {
			return o.parts.body == f.parts.body && (o.parts.list == f.parts.list || o.parts.wide && f.parts.wide)
		})
		if i < 0 {
			out = append(out, f)
			continue
		}
		if err := d.join(ctx, &out[i], f); err != nil {
			return nil, err
		}
	}
	slices.SortStableFunc(out, func(a, b Found) int { return cmp.Compare(b.Took, a.Took) })
	unique(out)
	return out, nil
}

// join adds a statement to a job: its calls, and the columns that the job lacks.
func (d *discovery) join(ctx context.Context, to *Found, f Found) error {
	list := union(to.parts.list, f.parts.list)
	if list != to.parts.list {
		wide := *to.parts.q
		wide.list, wide.added = list, nil
		sd, refused, err := d.describe(ctx, wide.core())
		if err != nil {
			return err
		}
		if refused == nil {
			wide.fields = sd.Fields
			wide.name(d)
			to.parts.q, to.parts.list = &wide, list
			to.Query = wide.query(d, false)
			sz, why, err := d.measure(ctx, &wide, wide.core())
			if err != nil {
				return err
			}
			if why == "" {
				to.Rows, to.Keys, to.Bytes, to.Run = sz.rows, sz.keys, store.Footprint(sz.keys, sz.bytes), sz.took
			}
		}
	}
	to.Calls, to.Took, to.Shapes = to.Calls+f.Calls, to.Took+f.Took, to.Shapes+f.Shapes
	to.Age = max(to.Age, f.Age)
	return nil
}

// union is a SELECT list with the columns of both.
func union(a, b string) string {
	items := commaSeparated(a)
	for _, item := range commaSeparated(b) {
		if item == "*" || slices.Contains(items, "*") {
			return "*"
		}
		if !slices.Contains(items, item) {
			items = append(items, item)
		}
	}
	return strings.Join(items, ", ")
}

// unique gives each job a name and a key prefix of its own.
func unique(found []Found) {
	taken := make(map[string]bool)
	for i := range found {
		f := &found[i]
		name := f.Name
		for n := 2; taken[name]; n++ {
			name = f.Name + "-" + strconv.Itoa(n)
		}
		taken[name] = true
		f.Key = name + strings.TrimPrefix(f.Key, f.Name)
		f.Name = name
	}
}

// PerSecond is how many calls a second there were.
func (f *Found) PerSecond() float64 {
	if f.Age <= 0 {
		return 0
	}
	return float64(f.Calls) / f.Age.Seconds()
}

// Load is how much of a second the database has spent each second on what the job answers.
func (f *Found) Load() float64 {
	if f.Age <= 0 {
		return 0
	}
	return f.Took.Seconds() / f.Age.Seconds()
}

// Saved is how much of Load a job spares that is run once a period.
func (f *Found) Saved(period time.Duration) float64 {
	return f.Load() - f.Run.Seconds()/period.Seconds()
}
