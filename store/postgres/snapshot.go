package postgres

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/stokerhq/stoker/store"
)

// ErrStandby says that a snapshot was taken on a standby. It shows in-progress
// transactions otherwise than a primary's, so that no order can be told from it.
var ErrStandby = errors.New("postgres.url leads to a standby, whose snapshots cannot be ordered: point it at the " +
	"primary, with target_session_attrs=read-write if it names several hosts")

// snapshotSQL reads a snapshot, and which history it belongs to.
func snapshotSQL(c *pgconn.PgConn, refused refusals) string {
	return `SELECT pg_current_snapshot()::text, ` + originSQL(c, refused) + `,
	concat_ws('/', current_database(), current_user, current_setting('search_path'))`
}

// SnapshotSQL returns a SELECT of a snapshot, and of which history it belongs to, on this
// connection. More columns can be added to it.
func (s *Source) SnapshotSQL(ctx context.Context, c *pgconn.PgConn) (string, error) {
	refused, err := s.signsOf(ctx, c)
	return snapshotSQL(c, refused), err
}

// ReadSnapshot reads the row that SnapshotSQL has returned on the connection.
func ReadSnapshot(c *pgconn.PgConn, row store.Row) (store.Snapshot, error) {
	s := store.Snapshot{Text: string(row[0]), Place: string(row[2])}
	var err error
	if s.Origin, err = ReadOrigin(c, string(row[1])); err != nil {
		return s, err
	}
	s.Clock, err = clock(s.Text)
	return s, err
}

// SnapshotOn takes a snapshot on a connection that is not of a Source, which may have
// another role. It works on a replication connection too.
func SnapshotOn(ctx context.Context, c *pgconn.PgConn) (store.Snapshot, error) {
	refused, err := trySigns(ctx, c)
	if err != nil {
		return store.Snapshot{}, err
	}
	return readNow(ctx, c, refused)
}

// readNow takes a snapshot that nothing is read in.
func readNow(ctx context.Context, c *pgconn.PgConn, refused refusals) (store.Snapshot, error) {
	results, err := c.Exec(ctx, snapshotSQL(c, refused)).ReadAll()
	if err != nil {
		return store.Snapshot{}, fmt.Errorf("read the clock of postgres: %w", WithGrant(err))
	}
	return ReadSnapshot(c, results[0].Rows[0])
}

// clock is the commit clock of a snapshot, as pg_current_snapshot prints it
// ("xmin:xmax:xip,xip"): xmax less the number of transactions in progress. It
// never goes back while a primary lives, and is larger after every commit that
// becomes visible: so one number decides which of two snapshots sees more.
//
// For it counts the transactions below xmax that are not running. None of them
// can begin to run later; xmax only grows; and a commit that becomes visible
// leaves xip or is passed by xmax.
func clock(snapshot string) (uint64, error) {
	parts := strings.Split(snapshot, ":")
	if len(parts) != 3 {
		return 0, fmt.Errorf("snapshot %q has not three parts", snapshot)
	}
	xmax, err := strconv.ParseUint(parts[1], 10, 64)
	if err != nil {
		return 0, fmt.Errorf("xmax of snapshot %q: %w", snapshot, err)
	}
	if parts[2] == "" {
		return xmax, nil
	}
	return xmax - uint64(strings.Count(parts[2], ",")+1), nil
}

// Now takes a snapshot that nothing is read in. It costs one statement.
func (s *Source) Now(ctx context.Context) (now store.Snapshot, err error) {
	err = s.Do(ctx, func(c *pgx.Conn) error {
		refused, err := s.signsOf(ctx, c.PgConn())
		if err != nil {
			return err
		}
		if now, err = readNow(ctx, c.PgConn(), refused); err == nil || !s.RetrySigns(err) {
			return err
		}
		if refused, err = s.signsOf(ctx, c.PgConn()); err == nil {
			now, err = readNow(ctx, c.PgConn(), refused)
		}
		return err
	})
	return now, err
}
