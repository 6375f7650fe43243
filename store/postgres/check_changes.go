package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/stokerhq/stoker/jobs"
)

// ChangeProblem is what stands against following changes, or is worth knowing.
type ChangeProblem struct {
	Fatal   bool     // the feed must not be opened: changes would be lost, or the application's statements would fail
	Without []string // jobs without whose watch lists it may be opened nevertheless; none: it may not
	Job     string   // whose watch entry it is; "": of the feed
	Message string   // with the remedy
}

// ChangeErrors joins the messages of the fatal problems; nil if there is none.
func ChangeErrors(problems []ChangeProblem) error {
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

// checkup collects problems.
type checkup struct {
	source *Source
	spec   *jobs.Spec
	list   []ChangeProblem
}

func (c *checkup) fail(job, format string, args ...any) {
	p := ChangeProblem{Fatal: true, Job: job, Message: fmt.Sprintf(format, args...)}
	if job != "" {
		p.Without = []string{job}
	}
	c.list = append(c.list, p)
}

// failFor: the feed may be opened without these jobs.
func (c *checkup) failFor(names []string, format string, args ...any) {
	c.list = append(c.list, ChangeProblem{Fatal: true, Without: names, Message: fmt.Sprintf(format, args...)})
}

func (c *checkup) warn(job, format string, args ...any) {
	c.list = append(c.list, ChangeProblem{Job: job, Message: fmt.Sprintf(format, args...)})
}

// CheckChanges looks at all that the spec's change feed needs: the watched tables,
// the queries for keys, and the server's set-up. It changes nothing. The error is
// that the servers could not be asked.
func (s *Source) CheckChanges(ctx context.Context, spec *jobs.Spec) ([]ChangeProblem, error) {
	c := &checkup{source: s, spec: spec}
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
	if spec.Changes.Source == jobs.SourceOutbox {
		err = c.outbox(ctx, tables)
	} else {
		err = c.wal(ctx, tables)
	}
	return c.list, err
}

// tables looks at the watched tables and returns those that changes can come from,
// each once.
func (c *checkup) tables(ctx context.Context) ([]Table, error) {
	names := c.spec.Watched()
	if len(names) == 0 {
		c.warn("", "no job has a watch list: no change refreshes anything")
		return nil, nil
	}
	tables, err := c.source.Tables(ctx, names)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(tables, func(t Table) bool {
		good := true
		for _, job := range c.spec.Jobs {
			for _, w := range job.Watch {
				if w.Table == t.Given && !c.table(job, w, t) {
					good = false
				}
			}
		}
		return !good
	}), nil
}

// watchers are the jobs that watch a relation, or a table that it is a part of, under
// whatever name.
func (c *checkup) watchers(tables []Table, oid uint32) (names []string) {
	for _, t := range tables {
		if t.OID != oid && !slices.ContainsFunc(t.Parts, func(p Part) bool { return p.OID == oid }) {
			continue
		}
		for _, job := range c.spec.Jobs {
			if slices.ContainsFunc(job.Watch, func(w jobs.Watch) bool { return w.Table == t.Given }) && !slices.Contains(names, job.Name) {
				names = append(names, job.Name)
			}
		}
	}
	return names
}

// table reports whether a watched table is one, and has the columns.
func (c *checkup) table(job *jobs.Job, w jobs.Watch, t Table) bool {
	if t.OID == 0 {
		c.fail(job.Name, "the watched table %s does not exist, or is not in the search_path of Stoker's role: correct its name, or write schema.table", t.Given)
		return false
	}
	if t.Kind != "r" && t.Kind != "p" {
		c.fail(job.Name, "%s, which is watched, is %s: its changes are told nowhere; watch the tables that it reads", t.Name, kindName(t.Kind))
		return false
	}
	for _, p := range t.Parts {
		switch {
		case p.Persistence == "t":
			c.fail(job.Name, "%s is a temporary table: no other session sees its changes; watch a permanent one", p.Name)
			return false
		case p.Persistence == "u" && c.spec.Changes.Source == jobs.SourceWAL:
			c.fail(job.Name, "%s is an unlogged table, whose changes are not in the write-ahead log: ALTER TABLE %s SET LOGGED, or use changes.source: outbox", p.Name, p.Name)
			return false
		}
	}
	good := true
	for _, column := range watchedColumns(w) {
		if !slices.Contains(t.Columns, column) {
			c.fail(job.Name, "table %s has no column %s, which its watch entry names; it has: %s", t.Name, column, strings.Join(t.Columns, ", "))
			good = false
		}
	}
	return good
}

// queries prepares each query for keys as it will be asked, with its one array, and
// holds what it returns against the job's key.
func (c *checkup) queries(ctx context.Context) error {
	return c.source.with(ctx, func(conn *pgx.Conn) error {
		for _, job := range c.spec.Jobs {
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

func (c *checkup) query(ctx context.Context, conn *pgconn.PgConn, job *jobs.Job, w jobs.Watch) error {
	sd, err := conn.Prepare(ctx, "", keysSQL(w.Keys, c.spec.Changes.RunAbove), nil)
	if pe, ok := errors.AsType[*pgconn.PgError](err); ok {
		c.fail(job.Name, "the keys query of watched table %s: %s (SQLSTATE %s)%s", w.Table, pe.Message, pe.Code, located(w.Keys, pe))
		return nil
	}
	if err != nil {
		return fmt.Errorf("prepare the keys query of job %s: %w", job.Name, err)
	}
	if len(sd.ParamOIDs) != 1 {
		c.fail(job.Name, "the keys query of watched table %s has %d parameters, not one: write ... = ANY($1), which is the array of the changed values of %s", w.Table, len(sd.ParamOIDs), w.Column)
		return nil
	}
	array := conn.ExecParams(ctx, "SELECT typcategory = 'A', format_type(oid, NULL) FROM pg_type WHERE oid = $1::oid", [][]byte{fmt.Append(nil, sd.ParamOIDs[0])}, nil, nil, nil).Read()
	if array.Err != nil {
		return fmt.Errorf("look up the parameter of the keys query of job %s: %w", job.Name, array.Err)
	}
	if row := array.Rows[0]; string(row[0]) != "t" {
		c.fail(job.Name, "the parameter of the keys query of watched table %s is %s, not an array: write = ANY($1)", w.Table, row[1])
	}
	var missing []string
	for _, column := range job.Key.Columns() {
		if !slices.ContainsFunc(sd.Fields, func(f pgconn.FieldDescription) bool { return f.Name == column }) {
			missing = append(missing, column)
		}
	}
	if len(missing) > 0 {
		c.fail(job.Name, "the keys query of watched table %s does not return the key's column %s: give one that name with AS", w.Table, strings.Join(missing, ", "))
	}
	return nil
}

// located says where in the keys query an error is.
func located(query string, pe *pgconn.PgError) string {
	line, col := position(query, int(pe.Position), len(keysPrefix))
	if line == 0 {
		return ""
	}
	return fmt.Sprintf(" at line %d, column %d", line, col)
}
