package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/postgres/meter"
)

var errTooLong = errors.New("postgres has worked longer than statement_timeout")

// runSlack is what a statement of a run may take longer than the run: the server's own limit is for a run whose
// process has gone.
const runSlack = 10 * time.Second

// runLimit is the statement_timeout of the server for a run of the job. It lasts as long as the writing of its rows:
// statement_timeout of the spec is held by bounded.
func (s *Source) runLimit(job *jobs.Job) time.Duration {
	if job.Timeout <= 0 {
		return s.timeout
	}
	return max(job.Timeout+runSlack, s.timeout)
}

// bounded reads with a context that ends when Postgres has worked for longer than statement_timeout.
func (s *Source) bounded(ctx context.Context, c *pgconn.PgConn, job *jobs.Job, read func(context.Context) error) error {
	m, ok := c.Conn().(*meter.Conn)
	if !ok || s.timeout <= 0 {
		return read(ctx)
	}
	limited, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer m.Watch(s.timeout, func() { cancel(errTooLong) })()
	err := read(limited)
	if err == nil || !errors.Is(context.Cause(limited), errTooLong) {
		return err
	}
	return &store.QueryError{Job: job.Name, SQLState: stateQueryCanceled, Err: err, Hint: slowHint,
		Message: "canceling statement due to statement timeout"}
}
