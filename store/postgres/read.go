package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
)

// Run reads every row of the job's query and hands the reading to fn, once. The
// transaction ends when fn returns; its error is returned. A schema change
// between planning and reading is met with one fresh plan.
func (s *Source) Run(ctx context.Context, job *jobs.Job, fn func(*store.Reading) error) error {
	return s.Do(ctx, func(c *pgx.Conn) error {
		return retryStale(fn, func(fn func(*store.Reading) error) error {
			p, err := s.enter(ctx, c.PgConn(), job, lockWaitRun)
			if err != nil {
				return err
			}
			sql, offset := p.runSQL()
			b, err := s.begin(ctx, c.PgConn(), job, true, s.runLimit(job), lockWaitRun)
			if err != nil {
				return err
			}
			b.ExecParams(sql, nil, nil, nil, binary)
			return s.traced(ctx, c, sql, func(ctx context.Context) error {
				return s.bounded(ctx, c.PgConn(), job, func(ctx context.Context) error {
					return transact(ctx, c.PgConn(), b, reading{plan: p, entered: true, load: true, offset: offset,
						fn: fn})
				})
			})
		})
	})
}

// Refresh reads the rows of the given keys and hands the reading to fn, once.
// Each key has a value for every column of the job's key template. A value that
// its column's type cannot take is a store.KeyValueError.
func (s *Source) Refresh(ctx context.Context, job *jobs.Job, keys []jobs.Key, fn func(*store.Reading) error) error {
	params, err := keyParams(job, keys)
	if err != nil {
		return err
	}
	return s.Do(ctx, func(c *pgx.Conn) error {
		return retryStale(fn, func(fn func(*store.Reading) error) error {
			p, err := s.refreshPlan(ctx, c.PgConn(), job)
			if err != nil {
				return err
			}
			err = s.execute(ctx, c, params, reading{plan: p, asked: keys, load: true, fn: fn})
			if stalePlan(err) {
				s.forget(job.Name)
			}
			return err
		})
	})
}

// refreshPlan is the plan of the last reading. A query whose columns we convert
// is looked at each time, in the transaction that reads it, which is then open:
// Postgres would not tell us that its columns are others than when it was planned.
func (s *Source) refreshPlan(ctx context.Context, c *pgconn.PgConn, job *jobs.Job) (*plan, error) {
	if p := s.plan(job.Name); p != nil && p.fits(job) && !p.convert {
		return p, nil
	}
	return s.enter(ctx, c, job, lockWaitRefresh)
}

// execute has Postgres read the asked keys, and with r.load the rows of these keys,
// in the transaction that is open or in a new one.
func (s *Source) execute(ctx context.Context, conn *pgx.Conn, params [][]byte, r reading) error {
	c, sql := conn.PgConn(), ""
	r.entered = c.TxStatus() != 'I'
	b, err := s.begin(ctx, c, r.plan.job, r.entered, s.timeout, lockWaitRefresh)
	if err != nil {
		return err
	}
	if len(r.plan.keys) > 0 {
		b.ExecParams(r.plan.givenSQL(), params, nil, nil, binary)
	}
	if r.load {
		// Not a prepared statement: Postgres reads the literals of a query when it
		// parses it, under the settings of that moment, and keeps 'today' for good.
		sql, r.offset = r.plan.refreshSQL()
		b.ExecParams(sql, params, nil, nil, binary)
	}
	err = s.traced(ctx, conn, sql, func(ctx context.Context) error { return transact(ctx, c, b, r) })
	s.RetrySigns(err)
	if isValueError(err) {
		return findBadValue(ctx, c, r.plan, r.asked, err)
	}
	return err
}

// retryStale runs read and, if the plan it used turned out to be stale before fn
// was handed anything, once more, now with a fresh one.
func retryStale(fn func(*store.Reading) error, read func(fn func(*store.Reading) error) error) error {
	begun := false
	once := func(r *store.Reading) error {
		begun = true
		return fn(r)
	}
	err := read(once)
	if !begun && stalePlan(err) {
		return read(once)
	}
	return err
}

// binary asks for the binary wire format of every column.
var binary = []int16{1}

// reading is how the answers of a batch are to be understood.
type reading struct {
	plan    *plan
	entered bool       // the transaction was open already
	asked   []jobs.Key // the keys as Postgres reads them come before the rows; nil: none were asked for
	load    bool       // the rows of the job come last
	offset  int        // of the job's query in the statement that loads
	begun   time.Time
	fn      func(*store.Reading) error
}

// transact sends the batch, hands its rows to r.fn and ends the transaction.
// Nothing is written in it: ROLLBACK ends it as well as COMMIT, in every state.
func transact(ctx context.Context, c *pgconn.PgConn, b *pgconn.Batch, r reading) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	b.ExecParams("ROLLBACK", nil, nil, nil, nil) // on the heels of the rows: no round trip of its own
	r.begun = time.Now()
	mrr := c.ExecBatch(ctx, b)
	err := r.consume(c, mrr)
	if err != nil && !atItsEnd(err) {
		cancel() // fn wants no more rows: have Postgres stop, the connection goes with it
	}
	if cerr := mrr.Close(); err == nil && cerr != nil {
		err = queryError(r.plan.job, cerr, r.offset)
	}
	if rerr := rollback(ctx, c, r.plan.job); err == nil {
		err = rerr
	}
	return err
}

// atItsEnd reports whether the batch is over, or nearly, in spite of err.
func atItsEnd(err error) bool {
	_, answered := errors.AsType[*pgconn.PgError](err)
	_, misfit := errors.AsType[*store.KeyValueError](err)
	return answered || misfit || errors.Is(err, errShapeChanged)
}

// rollback ends a transaction that is still open on a living connection.
func rollback(ctx context.Context, c *pgconn.PgConn, job *jobs.Job) error {
	if c.IsClosed() || c.TxStatus() == 'I' {
		return nil
	}
	if _, err := c.Exec(ctx, "ROLLBACK").ReadAll(); err != nil {
		return fmt.Errorf("end the transaction of job %s: %w", job.Name, err)
	}
	return nil
}

// consume walks through the batch's results in the order begin queued them.
func (r reading) consume(c *pgconn.PgConn, mrr *pgconn.MultiResultReader) error {
	out := &store.Reading{Begun: r.begun, Columns: r.plan.columns, Keys: r.plan.keys, Hashes: r.plan.hashCells()}
	if !r.entered || r.plan.job.Role != "" {
		if _, err := r.next(mrr, noPosition); err != nil { // BEGIN, or the session's role
			return err
		}
	}
	snap, err := r.all(mrr)
	if err != nil {
		return err
	}
	if out.Snapshot, err = ReadSnapshot(c, snap[0]); err != nil {
		return fmt.Errorf("job %s: %w", r.plan.job.Name, err)
	}
	if r.asked != nil {
		if out.Given, err = r.given(mrr); err != nil {
			return err
		}
	}
	if !r.load {
		return r.fn(out)
	}
	rr, err := r.next(mrr, r.offset)
	if err != nil {
		return err
	}
	if !r.plan.matches(rr.FieldDescriptions()) {
		return errShapeChanged
	}
	out.Rows = rows(rr, r.plan.job, r.offset)
	return r.fn(out)
}

// given reads the asked keys and holds each value against its column; a constant
// key has no columns and is there once.
func (r reading) given(mrr *pgconn.MultiResultReader) ([]store.Row, error) {
	n := len(r.plan.keys)
	if n == 0 {
		return []store.Row{{}}, nil
	}
	rows, err := r.all(mrr)
	if err != nil {
		return nil, err
	}
	for i, row := range rows {
		for k, fits := range row[n:] {
			if len(fits) != 1 || fits[0] == 0 {
				return nil, r.plan.truncated(k, r.asked[i])
			}
		}
		rows[i] = row[:n]
	}
	return rows, nil
}

// next moves on to the next statement's result.
func (r reading) next(mrr *pgconn.MultiResultReader, offset int) (*pgconn.ResultReader, error) {
	if !mrr.NextResult() {
		return nil, queryError(r.plan.job, mrr.Close(), offset)
	}
	return mrr.ResultReader(), nil
}

// all reads the whole of a small result of our own making.
func (r reading) all(mrr *pgconn.MultiResultReader) ([]store.Row, error) {
	rr, err := r.next(mrr, noPosition)
	if err != nil {
		return nil, err
	}
	res := rr.Read()
	if res.Err != nil {
		return nil, queryError(r.plan.job, res.Err, noPosition)
	}
	out := make([]store.Row, len(res.Rows))
	for i, row := range res.Rows {
		out[i] = row
	}
	return out, nil
}

// matches reports whether the fields that came are those that were planned for.
func (p *plan) matches(fields []pgconn.FieldDescription) bool {
	if !p.convert {
		return slices.EqualFunc(fields, p.fields, sameField)
	}
	n := len(p.columns) // the rest are hashes
	return len(fields) >= n && slices.EqualFunc(fields[:n], p.columns, func(f pgconn.FieldDescription,
		c store.Column) bool {
		return f.DataTypeOID == c.OID
	})
}

// rows streams a result. pgconn hands out the cells where they lie in its read
// buffer: nothing is copied and nothing is allocated a row.
func rows(rr *pgconn.ResultReader, job *jobs.Job, offset int) store.Rows {
	return func(yield func(store.Row, error) bool) {
		for rr.NextRow() {
			if !yield(rr.Values(), nil) {
				return
			}
		}
		if _, err := rr.Close(); err != nil {
			yield(nil, queryError(job, err, offset))
		}
	}
}
