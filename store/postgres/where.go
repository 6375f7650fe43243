package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
)

// condition is a jobs.Where as a job's query takes it: a parameter a column.
type condition struct {
	columns []int // of the job's query
	values  [][]string
	params  [][]byte
	casts   []string // types of the parameters' elements
	equal   []equality
}

// condition finds the columns of where, and how Postgres compares them, in the transaction that is open.
func (p *plan) condition(ctx context.Context, c *pgconn.PgConn, where jobs.Where) (*condition, error) {
	out := &condition{}
	for _, name := range where.Columns() {
		is := func(col store.Column) bool { return col.Name == name }
		i := slices.IndexFunc(p.columns, is)
		if i < 0 {
			missing := &jobs.NoColumnError{Job: p.job.Name, Column: name}
			for _, col := range p.columns {
				missing.Has = append(missing.Has, col.Name)
			}
			return nil, missing
		}
		if slices.ContainsFunc(p.columns[i+1:], is) {
			return nil, shapeError(p.job, fmt.Sprintf("the query returns two columns named %s: give them different "+
				"names with AS", name))
		}
		e := exactEquality
		if !certainlyExact(p.fields[i]) {
			var err error
			if e, err = typeEquality(ctx, c, p.fields[i]); err != nil {
				return nil, fmt.Errorf("look up how column %s of job %s is compared: %w", name, p.job.Name, err)
			}
		}
		if n := slices.Index(p.keys, i); n >= 0 {
			e = p.equal[n]
		}
		out.columns, out.values = append(out.columns, i), append(out.values, where[name])
		out.params = append(out.params, ArrayLiteral(where[name]))
		out.casts, out.equal = append(out.casts, p.types[i]), append(out.equal, e)
	}
	return out, nil
}

// holds is the condition in SQL; ref refers to the value of its n-th column.
func (c *condition) holds(ref func(n int) string) string {
	parts := make([]string, len(c.columns))
	for n := range c.columns {
		parts[n] = fmt.Sprintf("%s%s %s ANY($%d::%s[])", ref(n), c.equal[n].collate, c.equal[n].operator, n+1,
			c.casts[n])
	}
	return strings.Join(parts, " AND ")
}

// whereSQL returns the key columns of the rows that the condition means: first as a reading has them, then as texts
// that Postgres reads back. A job with one key needs one row.
func (p *plan) whereSQL(c *condition) (sql string, offset int) {
	var cells, texts []string
	for _, k := range p.keys {
		cell := p.ref(k)
		if p.converted(k) {
			cell = "to_json(" + cell + ")"
		}
		cells, texts = append(cells, cell), append(texts, "concat("+p.ref(k)+")")
	}
	where := "\nWHERE " + c.holds(func(n int) string { return p.ref(c.columns[n]) })
	if len(p.keys) == 0 {
		return p.selecting("1", where+" LIMIT 1")
	}
	return p.selecting(strings.Join(append(cells, texts...), ", "), where)
}

// onlyKeys is a plan of a reading that has the key columns alone, and after them their texts.
func (p *plan) onlyKeys() *plan {
	narrow := &plan{job: p.job, convert: true} // what comes is what was asked for
	for i, k := range p.keys {
		narrow.columns, narrow.keys = append(narrow.columns, p.columns[k]), append(narrow.keys, i)
	}
	return narrow
}

// CheckWhere reports what keeps a condition from being asked of the job: a column that its query does not return is
// a jobs.NoColumnError, a value that its column's type cannot take a store.KeyValueError. No row is read.
func (s *Source) CheckWhere(ctx context.Context, job *jobs.Job, where jobs.Where) error {
	return s.Do(ctx, func(conn *pgx.Conn) error {
		c := conn.PgConn()
		p, err := s.enter(ctx, c, job, lockWaitRefresh)
		if err != nil {
			return err
		}
		cond, err := p.condition(ctx, c, where)
		if err == nil {
			err = p.try(ctx, c, cond)
		}
		if err = errors.Join(err, rollback(ctx, c, job)); isValueError(err) {
			return p.badValue(ctx, c, where.Columns(), cond, err)
		}
		return err
	})
}

// try has Postgres read the values, and understand the condition.
func (p *plan) try(ctx context.Context, c *pgconn.PgConn, cond *condition) error {
	casts := make([]string, len(cond.casts))
	for n, cast := range cond.casts {
		casts[n] = fmt.Sprintf("$%d::%s[]", n+1, cast)
	}
	read := "SELECT " + strings.Join(casts, ", ")
	if err := c.ExecParams(ctx, read, cond.params, nil, nil, nil).Read().Err; err != nil {
		return fmt.Errorf("read the values of a condition on job %s: %w", p.job.Name, err)
	}
	sql, offset := p.whereSQL(cond)
	if err := p.prepare(ctx, c, sql, offset, "a column of the condition is of a type without equality"); err != nil {
		return err
	}
	sql, offset = p.refreshSQL()
	return p.prepare(ctx, c, sql, offset, "keys of its columns' types are not loaded one by one: run the job instead")
}

// prepare has Postgres understand a statement; why is what it means that a type has no operator.
func (p *plan) prepare(ctx context.Context, c *pgconn.PgConn, sql string, offset int, why string) error {
	_, err := c.Prepare(ctx, "", sql, nil)
	if pe, is := errors.AsType[*pgconn.PgError](err); is && pe.Code == stateUndefinedFunction {
		return shapeError(p.job, why+": "+pe.Message)
	}
	if err != nil {
		return queryError(p.job, err, offset)
	}
	return nil
}

// badValue finds the value that cause speaks of.
func (p *plan) badValue(ctx context.Context, c *pgconn.PgConn, names []string, cond *condition, cause error) error {
	for n, values := range cond.values {
		for _, v := range values {
			err := c.ExecParams(ctx, "SELECT $1::"+cond.casts[n], [][]byte{[]byte(v)}, nil, nil, nil).Read().Err
			if pe, is := errors.AsType[*pgconn.PgError](err); is && isValueError(err) {
				return &store.KeyValueError{Job: p.job.Name, Column: names[n], Type: cond.casts[n], Value: v,
					Message: pe.Message, Where: true}
			}
		}
	}
	return cause
}

// Where reads the keys of the rows that a condition means and hands the reading to fn, once. Its rows have the key
// columns, and after them the texts of these, which a jobs.Key holds. It takes what a run takes of the database: the
// same settings, and the same limits; but it does not wait long for locked tables.
func (s *Source) Where(ctx context.Context, job *jobs.Job, where jobs.Where, fn func(*store.Reading) error) error {
	return s.Do(ctx, func(conn *pgx.Conn) error {
		c := conn.PgConn()
		return retryStale(fn, func(fn func(*store.Reading) error) error {
			p, err := s.enter(ctx, c, job, lockWaitRefresh)
			if err != nil {
				return err
			}
			cond, err := p.condition(ctx, c, where)
			if err != nil {
				return errors.Join(err, rollback(ctx, c, job))
			}
			b, err := s.begin(ctx, c, job, true, s.runLimit(job), lockWaitRefresh)
			if err != nil {
				return errors.Join(err, rollback(ctx, c, job))
			}
			sql, offset := p.whereSQL(cond)
			b.ExecParams(sql, cond.params, nil, nil, binary)
			return s.traced(ctx, conn, sql, func(ctx context.Context) error {
				return s.bounded(ctx, c, job, func(ctx context.Context) error {
					return transact(ctx, c, b, reading{plan: p.onlyKeys(), entered: true, load: true, offset: offset,
						fn: fn})
				})
			})
		})
	})
}

// Match returns those candidates, values as they are in the text of a key, that a condition means as far as it is
// on key columns. One that no value of the columns' types can have made is none of the job.
func (s *Source) Match(ctx context.Context, job *jobs.Job, where jobs.Where, candidates []jobs.Key) ([]jobs.Key,
	error) {
	p := s.plan(job.Name)
	if p == nil || !p.fits(job) {
		return nil, fmt.Errorf("compare keys of job %s: its columns are not known yet", job.Name)
	}
	cond, may := p.onKeys(where)
	var readings []json.RawMessage
	for _, k := range candidates {
		if may(k) {
			readings = append(readings, p.readings(k)...)
		}
	}
	if len(readings) == 0 {
		return nil, nil
	}
	sql := p.candidatesSQL(len(cond.params)+1, cond.holds(func(n int) string { return "c." + alias(cond.columns[n]) }))
	found, _, err := s.among(ctx, p, sql, cond.params, readings)
	return found, err
}

// onKeys is the part of a condition that is on key columns, whose numbers are those of the key template, and a
// quick look whether a key may be meant by it.
func (p *plan) onKeys(where jobs.Where) (cond *condition, may func(jobs.Key) bool) {
	cond = &condition{}
	var filters []*prefilter
	for i, name := range p.job.Key.Columns() {
		values, named := where[name]
		if !named {
			continue
		}
		cond.columns = append(cond.columns, i)
		cond.params, cond.casts = append(cond.params, ArrayLiteral(values)), append(cond.casts, p.loose[i])
		cond.equal = append(cond.equal, p.equal[i])
		given := make([]jobs.Key, len(values))
		for n, v := range values {
			given[n] = jobs.Key{name: v}
		}
		filters = append(filters, newPrefilter(p, []string{name}, given))
	}
	return cond, func(k jobs.Key) bool {
		return !slices.ContainsFunc(filters, func(f *prefilter) bool { return !f.pass(k) })
	}
}
