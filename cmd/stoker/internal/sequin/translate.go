package sequin

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store/postgres/discover"
)

// Database is what is asked of the database.
type Database interface {
	Table(ctx context.Context, schema, name string) (t discover.Table, found bool, err error)
	SetOf(ctx context.Context, sql string) (s discover.Set, why string, err error)
	Quoted(name string) string
}

// Job is a job that does what a sink did for one table.
type Job struct {
	Name   string
	Sink   string
	Table  string
	Query  string
	Key    string            // template
	Expire time.Duration     // 0: values did not expire
	Watch  map[string]string // key column -> column of the table; nil: a changed row does not name its key
	Notes  []string
}

// Translate reads a sequin.yaml. An error of type jobs.Problems says which lines cannot be translated: then nothing
// is.
func Translate(ctx context.Context, file string, data []byte, lookup func(string) (string, bool), db Database) ([]Job,
	error) {
	r := &reader{file: file, lookup: lookup}
	r.read(data)
	if len(r.problems) > 0 {
		return nil, r.problems.InOrder()
	}
	var list []Job
	shapes := make(map[string]string) // :: shape of a key -> the sink that writes it
	for _, s := range r.sinks {
		for _, at := range s.tables {
			job, err := r.job(ctx, s, at, db)
			if err != nil {
				return nil, err
			}
			if job == nil {
				continue
			}
			key, err := jobs.ParseKeyTemplate(job.Key)
			if err != nil {
				r.refuse(at, "", "the key %s: %v", job.Key, err)
				continue
			}
			if other, taken := shapes[key.Shape()]; taken {
				r.refuse(at, "have the table's name in the key", "the keys look as those of %s: rows would overwrite "+
					"each other", other)
				continue
			}
			shapes[key.Shape()] = job.Table + " of sink " + s.name
			list = append(list, *job)
		}
	}
	if len(r.problems) > 0 {
		return nil, r.problems.InOrder()
	}
	nameJobs(list)
	return list, nil
}

// job translates one table of a sink. It is nil if there was a problem.
func (r *reader) job(ctx context.Context, s sink, at *yaml.Node, db Database) (*Job, error) {
	schema, name, qualified := strings.Cut(r.text(at), ".")
	if !qualified {
		schema, name = "public", schema
	}
	t, found, err := db.Table(ctx, schema, name)
	if err != nil {
		return nil, err
	}
	if !found {
		r.refuse(at, "DATABASE_URL must be the database of the sink", "there is no table %s.%s", schema, name)
		return nil, nil
	}
	j := &Job{Sink: s.name, Table: t.Name, Expire: s.expire, Name: name}
	var columns []string
	j.Key, columns = r.keyOf(s, at, t, schema, name)
	returned, ok, err := r.query(ctx, s, t, j, db)
	if err != nil || !ok || j.Key == "" {
		return nil, err
	}
	j.Watch = make(map[string]string)
	for _, c := range columns {
		if !slices.Contains(returned, c) {
			r.refuse(at, "select it in the enrichment", "the value has no column %s, which the key names", c)
			return nil, nil
		}
		j.Watch[c] = c
	}
	return j, nil
}

// plainTypes are the types that Sequin and Stoker print alike in a key.
var plainTypes = []string{"smallint", "integer", "bigint", "text", "character varying", "uuid"}

// keyOf is the key template of the rows of a table, and the columns in it.
func (r *reader) keyOf(s sink, at *yaml.Node, t discover.Table, schema, name string) (key string, columns []string) {
	to := s.route
	where := at
	if to == nil {
		if len(t.Key) != 1 {
			r.refuse(at, "give the sink a routing function that names the columns", "Sequin's own key is of the "+
				"primary key, and that of %s has %d columns", t.Name, len(t.Key))
			return "", nil
		}
		to = &route{parts: []routePart{{literal: "sequin:" + name + ":", column: t.Key[0]}}}
	} else {
		where = to.at
	}
	var b strings.Builder
	for _, p := range to.parts {
		b.WriteString(strings.NewReplacer("{", "{{", "}", "}}").Replace(p.literal))
		switch {
		case p.table == "table_schema":
			b.WriteString(schema)
		case p.table == "table_name":
			b.WriteString(name)
		case p.column == "":
		case t.Type(p.column) == "":
			r.refuse(where, "", "table %s has no column %s", t.Name, p.column)
			return "", nil
		case !slices.Contains(plainTypes, t.Type(p.column)):
			r.refuse(where, "", "the key has column %s, of type %s, which Sequin prints in another way", p.column,
				t.Type(p.column))
			return "", nil
		default:
			b.WriteString("{" + p.column + "}")
			columns = append(columns, p.column)
		}
	}
	if len(columns) == 0 {
		r.refuse(where, "", "all rows of %s have one key, and each overwrites the one before", t.Name)
		return "", nil
	}
	return b.String(), columns
}

// query writes the query of a job, and returns its columns.
func (r *reader) query(ctx context.Context, s sink, t discover.Table, j *Job, db Database) (columns []string, ok bool,
	err error) {
	if s.enrichment == nil {
		j.Query = "SELECT " + discover.List(quotedAll(db, t.Columns, "")) + "\nFROM " + t.Name
		return t.Columns, true, nil
	}
	set, why, err := db.SetOf(ctx, s.enrichment.Value)
	if err != nil {
		return nil, false, err
	}
	if why != "" {
		r.refuse(s.enrichment, "an enrichment names its rows by WHERE id = ANY($1), which is taken out",
			"the enrichment is not translated: %s", why)
		return nil, false, nil
	}
	if s.value == enrichmentValue {
		j.Query = set.Query
		return set.Columns, true, nil
	}
	if len(set.Keys) != 1 || len(t.Key) != 1 {
		r.refuse(s.enrichment, "", "an enrichment of a primary key of several columns is not translated")
		return nil, false, nil
	}
	j.Query, columns = enriched(db, t, set)
	j.Notes = append(j.Notes, "The columns of the enrichment take the place of those of the same name; where it has "+
		"no row, they are null.")
	return columns, true, nil
}

// enriched is a table with the columns of an enrichment.
func enriched(db Database, t discover.Table, set discover.Set) (sql string, columns []string) {
	var list []string
	for _, c := range t.Columns {
		if c == t.Key[0] || !slices.Contains(set.Columns, c) {
			list, columns = append(list, "t."+db.Quoted(c)), append(columns, c)
		}
	}
	for _, c := range set.Columns {
		if c != t.Key[0] && c != set.Keys[0] {
			list, columns = append(list, "e."+db.Quoted(c)), append(columns, c)
		}
	}
	return fmt.Sprintf("SELECT %s\nFROM %s AS t\n  LEFT JOIN (\n%s\n  ) AS e ON e.%s = t.%s", discover.List(list),
		t.Name, discover.Indented(discover.Indented(set.Query)), db.Quoted(set.Keys[0]), db.Quoted(t.Key[0])), columns
}

func quotedAll(db Database, names []string, prefix string) []string {
	list := make([]string, len(names))
	for i, n := range names {
		list[i] = prefix + db.Quoted(n)
	}
	return list
}

// nameJobs gives each job a name of its own.
func nameJobs(list []Job) {
	taken := make(map[string]bool)
	for i := range list {
		base := discover.Slug(list[i].Name)
		name := base
		for n := 2; taken[name]; n++ {
			name = fmt.Sprintf("%s-%d", base, n)
		}
		taken[name] = true
		list[i].Name = name
	}
}
