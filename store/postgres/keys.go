package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
)

// keyParams are the keys' values, an array a key column.
func keyParams(job *jobs.Job, keys []jobs.Key) ([][]byte, error) {
	var params [][]byte
	for _, name := range job.Key.Columns() {
		texts := make([]string, len(keys))
		for i, k := range keys {
			v, ok := k[name]
			if !ok {
				return nil, shapeError(job, fmt.Sprintf("a key without a value for column %s: give every column of %q",
					name, job.Key))
			}
			if strings.ContainsRune(v, 0) {
				return nil, &store.KeyValueError{Job: job.Name, Column: name, Type: "any", Value: v,
					Message: "postgres has no text with a zero byte"}
			}
			texts[i] = v
		}
		params = append(params, ArrayLiteral(texts))
	}
	return params, nil
}

// Keys hands fn a reading that has only Given, for a fence or a removal: no row of
// the job is loaded. Where the job's columns are known, and Postgres converts none of
// them, it touches none of its tables, so that one that is locked does not hold up a
// fence. Errors are those of Refresh.
func (s *Source) Keys(ctx context.Context, job *jobs.Job, keys []jobs.Key, fn func(*store.Reading) error) error {
	params, err := keyParams(job, keys)
	if err != nil {
		return err
	}
	return s.Do(ctx, func(c *pgx.Conn) error {
		p, err := s.refreshPlan(ctx, c.PgConn(), job)
		if err != nil {
			return err
		}
		known := c.PgConn().TxStatus() == 'I'
		err = s.execute(ctx, c, params, reading{plan: p, asked: keys, fn: fn})
		if _, misfit := errors.AsType[*store.KeyValueError](err); !misfit || !known {
			return err
		}
		// The column may be of another type by now, that takes the value.
		if p, err = s.enter(ctx, c.PgConn(), job, lockWaitRefresh); err != nil {
			return err
		}
		return s.execute(ctx, c, params, reading{plan: p, asked: keys, fn: fn})
	})
}

// isValueError: class 22, a value that its type cannot take.
func isValueError(err error) bool {
	pe, ok := errors.AsType[*pgconn.PgError](err)
	return ok && strings.HasPrefix(pe.Code, "22")
}

// findBadValue finds the value that cause speaks of, by casting one at a time. If every
// value fits, the query itself failed on a row, and cause is returned.
func findBadValue(ctx context.Context, c *pgconn.PgConn, p *plan, keys []jobs.Key, cause error) error {
	for i, name := range p.job.Key.Columns() {
		for _, sql := range []string{"SELECT $1::" + p.loose[i], "SELECT ($1::" + p.loose[i] + ")::" + p.casts[i]} {
			for _, k := range keys {
				err := c.ExecParams(ctx, sql, [][]byte{[]byte(k[name])}, nil, nil, nil).Read().Err
				if pe, ok := errors.AsType[*pgconn.PgError](err); ok && isValueError(err) {
					return p.keyValueError(i, k, pe.Message)
				}
				if err != nil {
					return fmt.Errorf("check the key values of job %s: %w", p.job.Name, err)
				}
			}
		}
	}
	return cause
}

// truncated returns the error of a value that its column has in another form only.
func (p *plan) truncated(i int, key jobs.Key) error {
	err := p.keyValueError(i, key, "the type would cut or round it")
	err.Cut = true
	return err
}

// keyValueError returns the error of the value that a key has for the i-th column of its template.
func (p *plan) keyValueError(i int, key jobs.Key, why string) *store.KeyValueError {
	name := p.job.Key.Columns()[i]
	return &store.KeyValueError{Job: p.job.Name, Column: name, Type: p.casts[i], Value: key[name], Message: why}
}
