package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/encode"
)

// oidJSON is the type that Postgres converts columns to for us.
const oidJSON = 114

// plan is what is known of a job's query before it runs: the columns it
// returns, and the SQL that returns them in wire formats that encode reads.
type plan struct {
	job     *jobs.Job
	fields  []pgconn.FieldDescription // as the job's query returns them
	columns []store.Column            // as readings return them: json where Postgres converts
	keys    []int                     // columns of the key template, by its order
	casts   []string                  // SQL types of these columns, by the same order
	loose   []string                  // the same types without a length or precision, which would cut a given value
	types   []string                  // such types of all columns
	equal   []equality                // how these columns are compared, by the same order
	convert bool                      // some column is turned into JSON by Postgres, or hashed
}

// describe asks Postgres what the job's query returns, in a transaction of its
// own.
func (s *Source) describe(ctx context.Context, c *pgconn.PgConn, job *jobs.Job, lock time.Duration) (*plan, error) {
	p, err := s.enter(ctx, c, job, lock)
	if err != nil {
		return nil, err
	}
	return p, rollback(ctx, c, job)
}

// enter begins a reading's transaction and asks in it what the job's query
// returns: the tables are locked against changes of their columns from then on.
// It prepares the query as it stands, so that a mistake in it is located in the
// user's own text, and under the settings of a reading, because literals are read
// when a query is parsed. The transaction stays open unless there is an error.
func (s *Source) enter(ctx context.Context, c *pgconn.PgConn, job *jobs.Job, lock time.Duration) (*plan, error) {
	err := s.enterOnce(ctx, c, job, lock)
	if s.RetrySigns(err) {
		if err = rollback(ctx, c, job); err == nil {
			err = s.enterOnce(ctx, c, job, lock)
		}
	}
	if err != nil {
		return nil, errors.Join(queryError(job, WithGrant(err), noPosition), rollback(ctx, c, job))
	}
	p, err := s.readPlan(ctx, c, job)
	if err != nil {
		return nil, errors.Join(err, rollback(ctx, c, job))
	}
	return p, nil
}

func (s *Source) enterOnce(ctx context.Context, c *pgconn.PgConn, job *jobs.Job, lock time.Duration) error {
	b, err := s.begin(ctx, c, job, false, s.timeout, lock)
	if err != nil {
		return err
	}
	return c.ExecBatch(ctx, b).Close()
}

// readPlan asks what the job's query returns, in the open transaction.
func (s *Source) readPlan(ctx context.Context, c *pgconn.PgConn, job *jobs.Job) (*plan, error) {
	sql, offset := Tag(job, job.Query, 0)
	sd, err := c.Prepare(ctx, "", sql, nil)
	if err != nil {
		return nil, queryError(job, err, offset)
	}
	if len(sd.ParamOIDs) > 0 {
		return nil, shapeError(job, "the query has parameters ($1 ...): a job's query takes none")
	}
	if old := s.plan(job.Name); old != nil && old.fits(job) && slices.EqualFunc(old.fields, sd.Fields, sameField) {
		return old, nil
	}
	p := &plan{job: job, fields: slices.Clone(sd.Fields)}
	if err := p.name(ctx, c); err != nil {
		return nil, err
	}
	if err := p.check(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.plans[job.Name] = p
	s.mu.Unlock()
	return p, nil
}

// fits reports whether the plan is of the job's query as it stands. The feed may have another copy of the job.
func (p *plan) fits(job *jobs.Job) bool {
	return p.job == job || p.job.Query == job.Query && p.job.Key == job.Key && p.job.Value == job.Value &&
		p.job.Role == job.Role
}

func (s *Source) plan(job string) *plan {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.plans[job]
}

func (s *Source) forget(job string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.plans, job)
}

func sameField(a, b pgconn.FieldDescription) bool {
	return a.Name == b.Name && a.DataTypeOID == b.DataTypeOID && a.TypeModifier == b.TypeModifier
}

// name fills in columns with the SQL names of their types, and casts.
func (p *plan) name(ctx context.Context, c *pgconn.PgConn) error {
	var oids, mods []string
	for _, f := range p.fields {
		oids = append(oids, fmt.Sprint(f.DataTypeOID))
		mods = append(mods, fmt.Sprint(f.TypeModifier))
	}
	res := c.ExecParams(ctx, "SELECT format_type(o, m), format_type(o, -1), EXISTS (SELECT FROM pg_collation WHERE "+
		"NOT collisdeterministic) FROM unnest($1::oid[], $2::int[]) AS t(o, m)",
		[][]byte{ArrayLiteral(oids), ArrayLiteral(mods)}, nil, nil, nil).Read()
	if res.Err != nil {
		return fmt.Errorf("name the column types of job %s: %w", p.job.Name, res.Err)
	}
	casts, loose := make([]string, len(p.fields)), make([]string, len(p.fields))
	p.types = loose
	for i, f := range p.fields {
		col := store.Column{Name: f.Name, OID: f.DataTypeOID, Type: string(res.Rows[i][0])}
		casts[i], loose[i] = col.Type, string(res.Rows[i][1])
		if _, fast := encode.ForOID(f.DataTypeOID); !fast {
			col.OID, p.convert = oidJSON, true
		}
		p.columns = append(p.columns, col)
	}
	for _, name := range p.job.Key.Columns() {
		i := slices.IndexFunc(p.columns, func(c store.Column) bool { return c.Name == name })
		p.keys = append(p.keys, i)
		if i >= 0 {
			p.casts, p.loose = append(p.casts, casts[i]), append(p.loose, loose[i])
		}
	}
	anyCollation := len(res.Rows) > 0 && string(res.Rows[0][2]) == "t"
	if err := p.readEqualities(ctx, c, anyCollation); err != nil {
		return err
	}
	if p.job.Value == jobs.ValueRows && len(p.hashed()) > 0 {
		p.convert = true
	}
	return nil
}

// converted reports whether Postgres makes column i JSON for us.
func (p *plan) converted(i int) bool { return p.columns[i].OID != p.fields[i].DataTypeOID }

// check holds the columns against the job's key template and kind of value.
func (p *plan) check() error {
	names := make([]string, len(p.columns))
	for i, c := range p.columns {
		names[i] = c.Name
	}
	for i, name := range p.job.Key.Columns() {
		if p.keys[i] < 0 {
			hint := ""
			if i := slices.IndexFunc(names, func(n string) bool { return strings.EqualFold(n, name) }); i >= 0 {
				hint = fmt.Sprintf("; upper and lower case count: write it so: {%s}", names[i])
			}
			return shapeError(p.job, fmt.Sprintf("key %q names column %s, which the query does not return; it "+
				"returns: %s%s", p.job.Key, name, strings.Join(names, ", "), hint))
		}
		if slices.Index(names[p.keys[i]+1:], name) >= 0 {
			return shapeError(p.job, fmt.Sprintf("the query returns two columns named %s, which the key names: "+
				"give them different names with AS", name))
		}
	}
	if p.job.Value == jobs.ValueScalar && len(p.columns)-len(p.keys) != 1 {
		return shapeError(p.job, fmt.Sprintf("value: scalar needs exactly one column beside the key columns; the "+
			"query returns: %s", strings.Join(names, ", ")))
	}
	if len(p.columns) == 0 {
		return shapeError(p.job, "the query returns no columns")
	}
	return nil
}

func shapeError(job *jobs.Job, msg string) error {
	return &store.ShapeError{Job: job.Name, Message: msg}
}
