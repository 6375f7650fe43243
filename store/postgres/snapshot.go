package postgres

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/stokerhq/stoker/store"
)

// ErrStandby says that a snapshot was taken on a standby. It shows in-progress
// transactions otherwise than a primary's, so that no order can be told from it.
var ErrStandby = errors.New("postgres.url leads to a standby, whose snapshots cannot be ordered: point it at the " +
	"primary, with target_session_attrs=read-write if it names several hosts")

// OriginSQL says which history a snapshot belongs to: of a standby, whose
// snapshots have no clock, it says so instead. A crash that the server recovers
// from by itself may lose commits too; it changes neither the timeline nor the
// start of the server, but it resets the statistics. The origin is read each time,
// not once a connection: a pooler may hand us another server's.
const OriginSQL = `CASE WHEN pg_is_in_recovery() THEN 'standby' ELSE concat_ws('/',
		(SELECT system_identifier FROM pg_control_system()),
		substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8),
		extract(epoch FROM pg_postmaster_start_time()),
		(SELECT extract(epoch FROM stats_reset) FROM pg_stat_bgwriter)) END`

// SnapshotSQL reads a snapshot, and which history it belongs to.
const SnapshotSQL = `SELECT pg_current_snapshot()::text, ` + OriginSQL + `,
	concat_ws('/', current_database(), current_user, current_setting('search_path'))`

// ReadSnapshot reads a row of SnapshotSQL.
func ReadSnapshot(row store.Row) (store.Snapshot, error) {
	s := store.Snapshot{Text: string(row[0]), Origin: string(row[1]), Place: string(row[2])}
	if s.Origin == "standby" {
		return s, ErrStandby
	}
	var err error
	s.Clock, err = clock(s.Text)
	return s, err
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
		res := c.PgConn().ExecParams(ctx, SnapshotSQL, nil, nil, nil, nil).Read()
		if res.Err != nil {
			return fmt.Errorf("read the clock of postgres: %w", res.Err)
		}
		now, err = ReadSnapshot(res.Rows[0])
		return err
	})
	return now, err
}
