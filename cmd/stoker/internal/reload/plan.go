package reload

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"unicode"

	"github.com/stokerhq/stoker/jobs"
)

// Plan is what changes from one spec to the next.
type Plan struct {
	Spec    *jobs.Spec // the next one; jobs that stay as they are have the *jobs.Job of the one before
	Added   []string   // jobs
	Changed []string   // jobs of another definition: their values or TTLs become other ones
	Altered []string   // jobs of the same definition that differ in something else: schedule, timeout, watch
	Removed []string   // jobs
	Feed    bool       // the change feed has to be opened anew
}

// Same reports whether all jobs stay as they are.
func (p *Plan) Same() bool { return len(p.Added)+len(p.Changed)+len(p.Altered)+len(p.Removed) == 0 }

// FixedError names the fields that only a start can change.
type FixedError struct{ Fields []string }

func (e *FixedError) Error() string {
	return fmt.Sprintf("%s cannot be changed while the daemon runs: restart it, or change that back",
		strings.Join(e.Fields, ", "))
}

// Compare says what changes, or refuses with a FixedError. The whole spec is taken or nothing of it is.
//
// What is fixed is what the process holds open for its whole life: connections (postgres, redis), the listener and the
// dashboard mounted in it (admin but for its token), and the place in the change feed (changes). All else can change,
// so that a field nobody has thought of here is fixed.
func Compare(before, next *jobs.Spec) (*Plan, error) {
	if fields := fixedFields(before, next); len(fields) > 0 {
		return nil, &FixedError{fields}
	}
	spec := *next
	spec.Jobs = slices.Clone(next.Jobs)
	p := &Plan{Spec: &spec, Feed: feedDiffers(before, next)}
	for i, job := range spec.Jobs {
		switch old, is := before.Job(job.Name); {
		case !is:
			p.Added = append(p.Added, job.Name)
		case same(old, job):
			spec.Jobs[i] = old
		case old.Definition() != job.Definition():
			p.Changed = append(p.Changed, job.Name)
		default:
			p.Altered = append(p.Altered, job.Name)
		}
	}
	for _, old := range before.Jobs {
		if !next.Has(old.Name) {
			p.Removed = append(p.Removed, old.Name)
		}
	}
	return p, nil
}

// same compares two jobs, but for where they stand in their files.
func same(a, b *jobs.Job) bool {
	placeless := func(j *jobs.Job) jobs.Job {
		c := *j
		c.Unwatched = slices.Clone(j.Unwatched)
		for i := range c.Unwatched {
			c.Unwatched[i].Line, c.Unwatched[i].Col = 0, 0
		}
		return c
	}
	return reflect.DeepEqual(placeless(a), placeless(b))
}

// feedDiffers reports whether the change feed that is open does not tell what the next spec has to know. A query may
// change under an open feed: keys are found by watch lists, and what those lack is checked for by the feed itself.
func feedDiffers(before, next *jobs.Spec) bool {
	if before.Changes.Source == jobs.SourceNone {
		return false
	}
	type told struct {
		Watch    []jobs.Watch
		Key      string
		Role     string
		Measured bool // how fresh it is, is reported
	}
	of := func(s *jobs.Spec) map[string]told {
		m := make(map[string]told)
		for _, j := range s.Jobs {
			// any job may be named in a call of stoker_invalidate, which comes through the outbox
			if len(j.Watch) > 0 || s.Changes.Source == jobs.SourceOutbox {
				m[j.Name] = told{j.Watch, j.Key.String(), j.Role, j.Objective != nil && len(j.Watch) > 0}
			}
		}
		return m
	}
	return !reflect.DeepEqual(of(before), of(next))
}

// takenFields are the parts of a spec that can be loaded, by their names in jobs.Spec and jobs.Admin.
var (
	takenFields = []string{"File", "Warnings", "Jobs", "Notify", "Audit"}
	takenAdmin  = []string{"Token"}
)

// fixedFields are the fields that differ and that only a start can change, as the file names them.
func fixedFields(before, next *jobs.Spec) (fields []string) {
	a, b := *before, *next
	// what is not given is that of another field, and changes with it
	if a.Changes.URL.Equal(a.Postgres.URL) && b.Changes.URL.Equal(b.Postgres.URL) {
		b.Changes.URL = a.Changes.URL
	}
	if a.Redis.QueueURL.Equal(a.Redis.URL) && b.Redis.QueueURL.Equal(b.Redis.URL) {
		b.Redis.QueueURL = a.Redis.QueueURL
	}
	// what a file has is read again at each new connection, and needs no start
	for _, url := range []struct {
		next   *jobs.Secret
		before jobs.Secret
		access jobs.Access
	}{{&b.Postgres.URL, a.Postgres.URL, b.Postgres.Access}, {&b.Redis.URL, a.Redis.URL, b.Redis.Access},
		{&b.Redis.QueueURL, a.Redis.QueueURL, b.Redis.QueueAccess}, {&b.Changes.URL, a.Changes.URL, b.Changes.Access}} {
		if url.access.Reads() {
			*url.next = url.before
		}
	}
	differing(reflect.ValueOf(a), reflect.ValueOf(b), func(name string, x, y reflect.Value) {
		switch {
		case slices.Contains(takenFields, name):
		case x.Kind() == reflect.Struct && x.Type() != reflect.TypeFor[jobs.Secret]():
			differing(x, y, func(inner string, _, _ reflect.Value) {
				if name != "Admin" || !slices.Contains(takenAdmin, inner) {
					fields = append(fields, yamlName(name)+"."+yamlName(inner))
				}
			})
		default:
			fields = append(fields, yamlName(name))
		}
	})
	return fields
}

// differing calls fn with each field of a struct that has two values.
func differing(a, b reflect.Value, fn func(name string, a, b reflect.Value)) {
	for i := range a.NumField() {
		if x, y := a.Field(i), b.Field(i); !reflect.DeepEqual(x.Interface(), y.Interface()) {
			fn(a.Type().Field(i).Name, x, y)
		}
	}
}

// yamlName is how the file names a field of package jobs.
func yamlName(field string) string {
	if field == "QueuesWrite" {
		return "queues"
	}
	var out strings.Builder
	letters := []rune(field)
	for i, r := range letters {
		begins := i > 0 && unicode.IsUpper(r) && (unicode.IsLower(letters[i-1]) ||
			i+1 < len(letters) && unicode.IsLower(letters[i+1]))
		if begins {
			out.WriteByte('_')
		}
		out.WriteRune(unicode.ToLower(r))
	}
	return out.String()
}
