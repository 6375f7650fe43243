package postgres

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/stokerhq/stoker/jobs"
)

// Statement is a statement and its parameters, in text format.
type Statement struct {
	SQL    string
	Params [][]byte
}

// ReadTogether runs small statements of a job in one snapshot, with the settings of a
// reading, and returns the result of each. It does not wait long for locked tables.
func (s *Source) ReadTogether(ctx context.Context, job *jobs.Job, statements []Statement) (results []*pgconn.Result,
	err error) {
	err = s.Do(ctx, func(c *pgx.Conn) error {
		results, err = s.readTogether(ctx, c.PgConn(), job, statements)
		if rerr := rollback(ctx, c.PgConn(), job); err == nil {
			err = rerr
		}
		return err
	})
	return results, err
}

func (s *Source) readTogether(ctx context.Context, c *pgconn.PgConn, job *jobs.Job,
	statements []Statement) ([]*pgconn.Result, error) {
	b, err := s.begin(ctx, c, job, false, s.timeout, lockWaitRefresh)
	if err != nil {
		return nil, err
	}
	for _, st := range statements {
		b.ExecParams(st.SQL, st.Params, nil, nil, nil)
	}
	results, err := c.ExecBatch(ctx, b).ReadAll()
	if err != nil {
		s.RetrySigns(err)
		return nil, queryError(job, err, noPosition)
	}
	if _, err := ReadSnapshot(c, results[1].Rows[0]); err != nil { // a standby
		return nil, err
	}
	return results[2:], nil
}

// WithKeyFields describes the job's query in a transaction and calls fn in it with the
// fields of the key's columns, in the order of the key template. It does not wait long
// for locked tables.
func (s *Source) WithKeyFields(ctx context.Context, c *pgconn.PgConn, job *jobs.Job,
	fn func(keys []pgconn.FieldDescription) error) (err error) {
	p, err := s.enter(ctx, c, job, lockWaitRefresh)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rollback(ctx, c, job)) }()
	keys := make([]pgconn.FieldDescription, len(p.keys))
	for i, k := range p.keys {
		keys[i] = p.fields[k]
	}
	return fn(keys)
}
