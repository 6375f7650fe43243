package postgres

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
)

// meter is a connection to Postgres that measures how long it is waited for: what Postgres works, and not what it
// waits for us because Redis takes the rows slowly. It costs two looks at the clock for each read of some KB.
type meter struct {
	net.Conn
	waited  atomic.Int64 // ns, in all reads that have ended
	waiting atomic.Int64 // when the read at hand began, in unix ns; 0: none is
}

// metered is a pgconn.Config.AfterNetConnect.
func metered(_ context.Context, _ *pgconn.Config, c net.Conn) (net.Conn, error) {
	return &meter{Conn: c}, nil
}

// Read measures.
func (m *meter) Read(b []byte) (int, error) {
	began := time.Now()
	m.waiting.Store(began.UnixNano())
	n, err := m.Conn.Read(b)
	m.waiting.Store(0)
	m.waited.Add(int64(time.Since(began)))
	return n, err
}

// total is how long Postgres was waited for on this connection.
func (m *meter) total() time.Duration {
	total := time.Duration(m.waited.Load())
	if since := m.waiting.Load(); since > 0 {
		total += time.Since(time.Unix(0, since))
	}
	return total
}

// watch calls expired, once, when Postgres was waited for longer than limit from now on.
func (m *meter) watch(limit time.Duration, expired func()) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	from := m.total()
	go func() {
		for store.Sleep(ctx, min(max(limit/20, 5*time.Millisecond), 100*time.Millisecond)) {
			if m.total()-from > limit {
				expired()
				return
			}
		}
	}()
	return cancel
}

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
	m, ok := c.Conn().(*meter)
	if !ok || s.timeout <= 0 {
		return read(ctx)
	}
	limited, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer m.watch(s.timeout, func() { cancel(errTooLong) })()
	err := read(limited)
	if err == nil || !errors.Is(context.Cause(limited), errTooLong) {
		return err
	}
	return &store.QueryError{Job: job.Name, SQLState: stateQueryCanceled, Err: err, Hint: slowHint,
		Message: "canceling statement due to statement timeout"}
}
