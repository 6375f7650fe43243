package outbox

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/feed"
	"github.com/stokerhq/stoker/store/postgres"
)

// mostRows is how many rows one poll reads. A poll that found as many is followed
// by the next at once.
const mostRows = 10_000

// pollSQL reads rows that are not in $1. There is always one row, for the clock, the
// origin and the snapshot: a standby may show a row before any snapshot of the primary
// shows what it lists.
// Rows are not read in the order of their ids, nor from an id on: a transaction
// that commits late has lower ones. The text is converted to UTF-8 here, because
// the encoding of a session is not ours to set.
const pollSQL = `SELECT %s, (extract(epoch FROM statement_timestamp()) * 1000000)::bigint, o.ctid, o.id, o.note, pg_current_snapshot()::text
FROM (SELECT) AS one LEFT JOIN (
	SELECT o.ctid, o.id, convert_to(json_build_object('At', (extract(epoch FROM o.at) * 1000000)::bigint, 'Table', o.tab::bigint, 'Columns', o.columns,
		'Keys', o.keys, 'Rows', o.changed, 'Whole', o.whole, 'Job', o.job, 'All', o.key IS NULL, 'Key', o.key)::text, 'UTF8') AS note
	FROM %s AS o WHERE %s AND NOT o.id <@ $1::int8multirange LIMIT %d) AS o ON true`

// outboxRow is a row of the outbox.
type outboxRow struct {
	At      int64       // microseconds
	Table   uint32      // that changed; 0: the row is of stoker_invalidate
	Columns []string    // what is recorded
	Keys    [][]*string // their values, in changed rows, before and after
	Rows    int64       // changed
	Whole   string      // why no values are recorded
	Job     string
	All     bool // the whole job, not Key
	Key     json.RawMessage
}

// poll reads the outbox until ctx ends or it fails.
func (o *Feed) poll(ctx context.Context) {
	guarded := time.Now()
	for ctx.Err() == nil {
		began := time.Now()
		full, err := o.read(ctx)
		if err == nil && time.Since(guarded) > guardEvery {
			guarded = time.Now()
			err = o.guard(ctx)
		}
		if err != nil {
			if ctx.Err() == nil {
				o.queue.End(err)
			}
			return
		}
		if full {
			continue
		}
		select {
		case <-ctx.Done():
		case <-time.After(max(time.Until(began.Add(o.every)), time.Since(began))):
			// a long poll must not follow another at once
		}
	}
}

// read reads what is in the outbox and not taken, and hands it to Next. It reports
// whether there may be more.
func (o *Feed) read(ctx context.Context) (full bool, err error) {
	spans, n := o.unackedSpans()
	if o.warnIfBacklogged(n); n >= mostUnacked {
		return false, nil
	}
	if o.source.StatementTimeout() > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, o.source.StatementTimeout())
		defer cancel()
	}
	b := batch{commits: &feed.Commits{Effect: feed.NewEffect(o.spec.Changes.RunAbove)}}
	if !o.marked || o.moved.Swap(false) {
		o.seen = nil
	}
	err = o.source.Do(ctx, func(c *pgx.Conn) error { return o.pollOn(ctx, c.PgConn(), spans, &b) })
	if err != nil {
		o.source.RetrySigns(err)
		return false, withRemedy("read the outbox", err)
	}
	full = len(b.rows.ids) == mostRows
	if err := o.advance(b.snapshot, full); err != nil {
		return false, err
	}
	b.commits.Committed = o.committed(b.oldest, b.clock, full)
	if !full {
		defer o.through.Store(&b.clock) // after the push
	}
	switch {
	case len(b.rows.ids) == 0:
		return false, nil
	case b.commits.Effect.Empty():
		moved, err := o.remove(ctx, b.rows) // no job watches it any more
		if moved {
			o.moved.Store(true)
		}
		return full, err
	}
	o.push(b.rows, b.commits)
	return full, nil
}

// pollOn reads what the outbox has beyond what was seen, and is not in spans.
func (o *Feed) pollOn(ctx context.Context, c *pgconn.PgConn, spans []span, b *batch) error {
	origin, err := o.source.OriginSQL(ctx, c)
	if err != nil {
		return err
	}
	formats, params := []int16{0, 0, 0, 0, 1, 0}, [][]byte{multirange(spans)}
	if o.seen == nil {
		sql := fmt.Sprintf(pollSQL, origin, o.table, "true", mostRows)
		return o.receive(c, c.ExecParams(ctx, sql, params, nil, nil, formats), b)
	}
	q := &pgconn.Batch{}
	q.ExecParams("BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY", nil, nil, nil, nil)
	q.ExecParams(indexOnlySQL, nil, nil, nil, nil)
	q.ExecParams(fmt.Sprintf(pollSQL, origin, o.table, beyondSQL, mostRows), append(params, o.seen.params()...), nil,
		nil, formats)
	q.ExecParams("COMMIT", nil, nil, nil, nil)
	results := c.ExecBatch(ctx, q)
	for n := 0; err == nil && results.NextResult(); n++ {
		if n == 2 {
			err = o.receive(c, results.ResultReader(), b)
		} else {
			_, err = results.ResultReader().Close()
		}
	}
	return errors.Join(err, results.Close(), o.leave(ctx, c))
}

// advance notes what a poll has seen. One that stopped at its limit has not seen all that
// its snapshot shows.
func (o *Feed) advance(snapshot string, full bool) error {
	now, err := horizonOf(snapshot)
	if err != nil {
		return err
	}
	if o.seen != nil && now.next < o.seen.next {
		return errOtherHistory // a crash, without a sign of it that we may read
	}
	if !full {
		o.seen = now
	}
	return nil
}

// warnIfBacklogged says, once, that n rows which are read and not done are too many.
func (o *Feed) warnIfBacklogged(n int) {
	if n >= mostUnacked && !o.backlogged {
		o.log.Warn("the outbox is not read on: too many of its rows are read and not done, because the run of a "+
			"job takes long or fails", "rows", n)
	}
	o.backlogged = n >= mostUnacked
}

// batch is what one poll has read.
type batch struct {
	rows     unacked
	commits  *feed.Commits
	snapshot string    // that it was read in
	clock    time.Time // Postgres', when it was read
	oldest   time.Time // when the first of the rows was written
}

// receive reads the rows of a poll, one at a time: what they mean is small.
func (o *Feed) receive(c *pgconn.PgConn, res *pgconn.ResultReader, b *batch) error {
	var wrong error
	for res.NextRow() {
		if err := o.add(c, res.Values(), b); wrong == nil {
			wrong = err
		}
	}
	_, err := res.Close()
	return errors.Join(wrong, err)
}

func (o *Feed) add(c *pgconn.PgConn, row [][]byte, b *batch) error {
	if same, err := o.same(c, string(row[0])); err != nil || !same {
		return cmp.Or(err, errOtherHistory)
	}
	clock, err := strconv.ParseInt(string(row[1]), 10, 64)
	if err != nil {
		return fmt.Errorf("the clock: %w", err)
	}
	b.clock, b.snapshot = time.UnixMicro(clock), string(row[5])
	if row[3] == nil {
		return nil // there are no rows
	}
	var n outboxRow
	if err := json.Unmarshal(row[4], &n); err != nil {
		return fmt.Errorf("row %s: %w", row[3], err)
	}
	id, err := strconv.ParseInt(string(row[3]), 10, 64)
	if err != nil {
		return fmt.Errorf("the id of a row: %w", err)
	}
	b.rows.places, b.rows.ids = append(b.rows.places, string(row[2])), append(b.rows.ids, id)
	if at := time.UnixMicro(n.At); b.oldest.IsZero() || at.Before(b.oldest) {
		b.oldest = at
	}
	o.fold(b.commits, n)
	return nil
}

var errOtherHistory = errors.New("postgres.url leads to another history than when the outbox was opened (a " +
	"failover, a restart, or another server)")

// same reports whether an origin, as the connection has returned it, is of the history
// that the feed was opened for: what is fenced and what is read may be of different ones.
func (o *Feed) same(c *pgconn.PgConn, text string) (bool, error) {
	origin, err := postgres.ReadOrigin(c, text)
	return err == nil && store.SameHistory(origin, o.origin), err
}

// committed is when the oldest of what was read was committed, or a little before.
// A row knows when it was written, which may be long before; but the poll before
// this one did not see it.
func (o *Feed) committed(written, now time.Time, full bool) time.Time {
	if o.polled.After(written) {
		written = o.polled
	}
	if !full {
		o.polled = now
	}
	return written
}

// remove deletes rows by where they are, and by their ids in case they were moved:
// then they are read again. In another history, place and id may be those of a row
// that was never read: nothing is deleted, and the next poll ends the feed. It reports
// whether rows were not there.
func (o *Feed) remove(ctx context.Context, rows unacked) (moved bool, err error) {
	err = o.source.Do(ctx, func(c *pgx.Conn) error {
		same, err := o.enter(ctx, c.PgConn())
		if err == nil && same {
			sql := "DELETE FROM " + o.table + " WHERE ctid = ANY ($1::tid[]) AND id = ANY ($2::bigint[])"
			res := c.PgConn().ExecParams(ctx, sql, [][]byte{postgres.ArrayLiteral(rows.places), idArray(rows.ids)}, nil,
				nil, nil).Read()
			err, moved = res.Err, res.CommandTag.RowsAffected() < int64(len(rows.ids))
		}
		return errors.Join(err, o.leave(ctx, c.PgConn()))
	})
	if err != nil {
		o.source.RetrySigns(err)
		return moved, withRemedy("delete from the outbox what is done", err)
	}
	return moved, nil
}

// enter begins a transaction, in which a pooler does not change the server, and reports
// whether its history is the feed's.
func (o *Feed) enter(ctx context.Context, c *pgconn.PgConn) (same bool, err error) {
	origin, err := o.source.OriginSQL(ctx, c)
	if err != nil {
		return false, err
	}
	results, err := c.Exec(ctx, "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SELECT "+origin).ReadAll()
	if err != nil {
		return false, err
	}
	same, err = o.same(c, string(results[1].Rows[0][0]))
	if errors.Is(err, postgres.ErrStandby) {
		return false, nil
	}
	return same, err
}

// leave ends the transaction. One that has failed is rolled back by it.
func (o *Feed) leave(ctx context.Context, c *pgconn.PgConn) error {
	if c.IsClosed() || c.TxStatus() == 'I' {
		return nil
	}
	_, err := c.Exec(ctx, "COMMIT").ReadAll()
	return err
}

// withRemedy says what to do about the errors that a wrong set-up leads to.
func withRemedy(doing string, err error) error {
	if pe, ok := errors.AsType[*pgconn.PgError](err); ok {
		switch pe.Code {
		case "42P01":
			return fmt.Errorf("%s: %w; run: stoker outbox install --apply", doing, err)
		case "42501":
			if refused := postgres.WithGrant(err); refused != err {
				return fmt.Errorf("%s: %w", doing, refused)
			}
			return fmt.Errorf("%s: %w; its owner must grant SELECT and DELETE on it to Stoker's role, as `stoker "+
				"outbox install` does", doing, err)
		}
	}
	return fmt.Errorf("%s: %w", doing, err)
}
