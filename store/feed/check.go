package feed

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store/postgres"
)

// Problem is what stands against following changes, or is worth knowing.
type Problem struct {
	Fatal   bool     // the feed must not be opened: changes would be lost, or the application's statements would fail
	Without []string // jobs without whose watch lists it may be opened nevertheless; none: it may not
	Job     string   // whose watch entry it is; "": of the feed
	// :: index of a watch of Job that names keys -> why its changes run the job instead
	Whole   map[int]string
	Message string // with the remedy
}

// Errors joins the messages of the fatal problems; nil if there is none.
func Errors(problems []Problem) error {
	var errs []error
	for _, p := range problems {
		switch {
		case !p.Fatal:
		case p.Job != "":
			errs = append(errs, fmt.Errorf("job %s: %s", p.Job, p.Message))
		default:
			errs = append(errs, errors.New(p.Message))
		}
	}
	return errors.Join(errs...)
}

// Checkup collects problems. The checks that are common to all feeds are here; those of
// one feed are in its package.
type Checkup struct {
	Source   *postgres.Source
	Spec     *jobs.Spec
	Problems []Problem
	// Present are the watched tables that exist, each once, also those that a watch entry does not fit.
	Present []Table
}

// Fail adds a fatal problem. The feed may be opened without the job; job "": it may not
// be opened.
func (c *Checkup) Fail(job, format string, args ...any) {
	p := Problem{Fatal: true, Job: job, Message: fmt.Sprintf(format, args...)}
	if job != "" {
		p.Without = []string{job}
	}
	c.Problems = append(c.Problems, p)
}

// FailFor adds a fatal problem. The feed may be opened without these jobs.
func (c *Checkup) FailFor(names []string, format string, args ...any) {
	c.Problems = append(c.Problems, Problem{Fatal: true, Without: names, Message: fmt.Sprintf(format, args...)})
}

// Warn adds a problem with which the feed can be opened.
func (c *Checkup) Warn(job, format string, args ...any) {
	c.Problems = append(c.Problems, Problem{Job: job, Message: fmt.Sprintf(format, args...)})
}

// Check checks all that the spec's change feed needs: the watched tables, the queries
// for keys, and, with the check of the feed's own package, the server's set-up. It
// changes nothing. The error is that the servers could not be asked.
func Check(ctx context.Context, source *postgres.Source, spec *jobs.Spec,
	own func(context.Context, *Checkup, []Table) error) ([]Problem, error) {
	c := &Checkup{Source: source, Spec: spec}
	if spec.Changes.Source == jobs.SourceNone {
		return nil, nil
	}
	tables, err := c.tables(ctx)
	if err != nil {
		return nil, err
	}
	if err := c.queries(ctx); err != nil {
		return nil, err
	}
	if err := c.types(ctx, tables); err != nil {
		return nil, err
	}
	err = own(ctx, c, tables)
	return c.Problems, err
}

// tables looks at the watched tables and returns those that changes can come from,
// each once.
func (c *Checkup) tables(ctx context.Context) ([]Table, error) {
	names := c.Spec.Watched()
	if len(names) == 0 {
		c.Warn("", "no job has a watch list: no change refreshes anything")
		return nil, nil
	}
	tables, err := Tables(ctx, c.Source, names)
	if err != nil {
		return nil, err
	}
	for _, t := range tables {
		if t.Kind == "r" || t.Kind == "p" {
			c.Present = append(c.Present, t)
		}
	}
	return slices.DeleteFunc(tables, func(t Table) bool {
		good := true
		for _, job := range c.Spec.Jobs {
			for _, w := range job.Watch {
				if w.Table == t.Given && !c.table(job, w, t) {
					good = false
				}
			}
		}
		return !good
	}), nil
}

// Watchers are the jobs that watch a relation, or a table that it is a part of, under
// whatever name.
func (c *Checkup) Watchers(tables []Table, oid uint32) (names []string) {
	for _, t := range tables {
		if t.OID != oid && !slices.ContainsFunc(t.Parts, func(p Relation) bool { return p.OID == oid }) {
			continue
		}
		for _, job := range c.Spec.Jobs {
			if slices.ContainsFunc(job.Watch, func(w jobs.Watch) bool { return w.Table == t.Given }) &&
				!slices.Contains(names, job.Name) {
				names = append(names, job.Name)
			}
		}
	}
	return names
}

// table reports whether a watched table is one, and has the columns.
func (c *Checkup) table(job *jobs.Job, w jobs.Watch, t Table) bool {
	if t.OID == 0 {
		c.Fail(job.Name, "%s", t.missing())
		return false
	}
	if t.Kind != "r" && t.Kind != "p" {
		c.Fail(job.Name, "%s, which is watched, is %s: its changes are told nowhere; watch the tables that it reads",
			t.Name, KindName(t.Kind))
		return false
	}
	for _, p := range t.Parts {
		switch {
		case p.Persistence == "t":
			c.Fail(job.Name, "%s is a temporary table: no other session sees its changes; watch a permanent one",
				p.Name)
			return false
		case p.Persistence == "u" && c.Spec.Changes.Source == jobs.SourceWAL:
			c.Fail(job.Name, "%s is an unlogged table, whose changes are not in the write-ahead log: ALTER TABLE "+
				"%s SET LOGGED, or use changes.source: outbox", p.Name, p.Name)
			return false
		}
	}
	good := true
	for _, column := range WatchedColumns(w) {
		if !slices.Contains(t.Columns, column) {
			c.Fail(job.Name, "table %s has no column %s, which its watch entry names; it has: %s%s", t.Name,
				column, strings.Join(t.Columns, ", "), spelled(column, t.Columns))
			good = false
		}
		if slices.Contains(t.Virtual, column) {
			c.Fail(job.Name, "column %s of table %s, which its watch entry names, is a virtual generated column, "+
				"which no change carries: make it STORED, or watch a column that it is computed from, with column "+
				"and keys", column, t.Name)
			good = false
		}
	}
	return good
}

// queries prepares each query for keys as it will be asked, with its one array, and
// holds what it returns against the job's key.
func (c *Checkup) queries(ctx context.Context) error {
	return c.Source.Do(ctx, func(conn *pgx.Conn) error {
		for _, job := range c.Spec.Jobs {
			for _, w := range job.Watch {
				if w.Keys == "" {
					continue
				}
				if err := c.query(ctx, conn.PgConn(), job, w); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

func (c *Checkup) query(ctx context.Context, conn *pgconn.PgConn, job *jobs.Job, w jobs.Watch) error {
	sql, offset := keysSQL(job, w.Keys, c.Spec.Changes.RunAbove)
	sd, err := conn.Prepare(ctx, "", sql, nil)
	if pe, ok := errors.AsType[*pgconn.PgError](err); ok {
		c.Fail(job.Name, "the keys query of watched table %s: %s (SQLSTATE %s)%s", w.Table, pe.Message, pe.Code,
			located(w.Keys, pe, offset))
		return nil
	}
	if err != nil {
		return fmt.Errorf("prepare the keys query of job %s: %w", job.Name, err)
	}
	if len(sd.ParamOIDs) != 1 {
		c.Fail(job.Name, "the keys query of watched table %s has %d parameters, not one: write ... = ANY($1), "+
			"which is the array of the changed values of %s", w.Table, len(sd.ParamOIDs), w.Column)
		return nil
	}
	array := conn.ExecParams(ctx, "SELECT typcategory = 'A', format_type(oid, NULL) FROM pg_type WHERE oid = $1::oid",
		[][]byte{fmt.Append(nil, sd.ParamOIDs[0])}, nil, nil, nil).Read()
	if array.Err != nil {
		return fmt.Errorf("look up the parameter of the keys query of job %s: %w", job.Name, array.Err)
	}
	if row := array.Rows[0]; string(row[0]) != "t" {
		c.Fail(job.Name, "the parameter of the keys query of watched table %s is %s, not an array: write = ANY($1)",
			w.Table, row[1])
	}
	returned := make([]string, len(sd.Fields))
	for i, f := range sd.Fields {
		returned[i] = f.Name
	}
	var missing []string
	hint := ""
	for _, column := range job.Key.Columns() {
		if !slices.Contains(returned, column) {
			missing = append(missing, column)
			if spelled(column, returned) != "" {
				hint = "; upper and lower case count: write it so: AS " + pgx.Identifier{column}.Sanitize()
			}
		}
	}
	if len(missing) > 0 {
		c.Fail(job.Name, "the keys query of watched table %s does not return the key's column %s: give one that "+
			"name with AS%s", w.Table, strings.Join(missing, ", "), hint)
	}
	return nil
}

// located says where in the keys query an error is.
func located(query string, pe *pgconn.PgError, offset int) string {
	line, col := postgres.Position(query, int(pe.Position), offset)
	if line == 0 {
		return ""
	}
	return fmt.Sprintf(" at line %d, column %d", line, col)
}
