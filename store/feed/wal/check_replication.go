package wal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store/postgres"
)

// replicationSQL asks, on a plain connection to changes.url, what a replication
// connection needs. Slots and senders of a Stoker that runs are not counted: they
// are free when it ends. $1 is changes.name.
const replicationSQL = `SELECT current_user, current_setting('server_version_num'), current_setting('wal_level'),
	rolsuper OR rolreplication OR EXISTS (SELECT FROM pg_roles r WHERE r.rolname = 'rds_replication' AND pg_has_role(r.oid, 'MEMBER')),
	EXISTS (SELECT FROM pg_roles WHERE rolname = 'rds_replication'),
	current_setting('max_replication_slots'), (SELECT count(*) FROM pg_replication_slots WHERE slot_name <> $1 AND slot_name !~ ('^' || $1 || '_[a-z0-9]{8}$')),
	current_setting('max_wal_senders'), (SELECT count(*) FROM pg_stat_replication WHERE (application_name IN (nullif(current_setting('application_name'), ''), '` + senderName + `')) IS NOT TRUE),
	current_database()
FROM pg_roles WHERE rolname = current_user`

// automaticWAL is the version from which wal_level is raised by the first slot.
const automaticWAL = 190000

// replication looks at the server and the role that changes.url leads to, and
// opens a replication connection for a moment.
func (c *checkup) replication(ctx context.Context) error {
	url := c.Spec.Changes.URL
	row, err := plainRow(ctx, c.Source, c.Spec.Changes.Endpoint(), replicationSQL, c.Spec.Changes.Name)
	if brokenOff(err) {
		return fmt.Errorf("changes.url %s: %w", url.Redacted(), err)
	}
	if err != nil {
		c.Fail("", "changes.url %s: %v", url.Redacted(), err)
		return nil
	}
	ready := c.server(row)
	system, database, err := c.identify(ctx)
	if brokenOff(err) {
		return fmt.Errorf("changes.url %s, as a replication connection: %w", url.Redacted(), err)
	}
	if err != nil && ready {
		c.refused(err)
	}
	if err != nil {
		database = row[9]
	}
	return c.sameServer(ctx, system, database)
}

// systemSQL identifies a server. A hardened one may refuse it.
const systemSQL = "SELECT system_identifier FROM pg_control_system()"

// sameServer checks that changes.url and postgres.url lead to one database; system is ""
// if the replication connection has not said it.
func (c *checkup) sameServer(ctx context.Context, system, database string) error {
	here, err := c.Source.Row(ctx, "SELECT current_database(), quote_ident(current_user)")
	if err != nil {
		return err
	}
	there := system
	if c.Spec.Changes.URL.Equal(c.Spec.Postgres.URL) {
		there = ""
	} else if there == "" { // it is said already why there is no replication connection
		if row, err := plainRow(ctx, c.Source, c.Spec.Changes.Endpoint(), systemSQL); err == nil {
			there = row[0]
		}
	}
	if there != "" {
		row, err := c.Source.Row(ctx, systemSQL)
		switch _, refused := errors.AsType[*pgconn.PgError](err); {
		case refused:
			c.Warn("", "it cannot be seen that changes.url and postgres.url lead to one server, because "+
				"pg_control_system cannot be called: GRANT EXECUTE ON FUNCTION pg_control_system() TO %s, or make "+
				"sure of it yourself", here[1])
		case err != nil:
			return err
		case there != row[0]:
			c.Fail("", "changes.url leads to another server than postgres.url: what it tells of is not what the "+
				"queries read; let both name one server")
			return nil
		}
	}
	if database != here[0] {
		c.Fail("", "changes.url leads to database %s, postgres.url to %s: let both name one", database, here[0])
	}
	return nil
}

// server reports whether settings and rights are as a replication connection needs
// them.
func (c *checkup) server(row []string) (ready bool) {
	before := len(c.Problems)
	version, _ := strconv.Atoi(row[1]) // a number, as Postgres prints it
	if level := row[2]; level != "logical" && (level != "replica" || version < automaticWAL) {
		c.Fail("", "wal_level is %s: ALTER SYSTEM SET wal_level = logical and restart Postgres (RDS and Aurora: "+
			"rds.logical_replication = 1 in the parameter group, and reboot; "+
			"Cloud SQL: cloudsql.logical_decoding = on; Azure: wal_level in the server parameters), or use "+
			"changes.source: outbox", level)
	}
	if row[3] != "t" {
		remedy := fmt.Sprintf("ALTER ROLE %s REPLICATION", row[0])
		if row[4] == "t" {
			remedy = fmt.Sprintf("GRANT rds_replication TO %s", row[0])
		}
		c.Fail("", "role %s may not replicate: %s, or use changes.source: outbox", row[0], remedy)
	}
	c.room("max_replication_slots", row[5], row[6])
	c.room("max_wal_senders", row[7], row[8])
	return len(c.Problems) == before
}

// room: one more than what others use must be allowed.
func (c *checkup) room(setting, limit, used string) {
	most, err1 := strconv.Atoi(limit)
	n, err2 := strconv.Atoi(used)
	if err := errors.Join(err1, err2); err == nil && n >= most {
		c.Fail("", "%s is %d and %d are in use: raise it and restart Postgres, or end who uses one", setting, most, n)
	}
}

// identify asks who is at the other end of a replication connection.
func (c *checkup) identify(ctx context.Context) (system, database string, err error) {
	conn, err := replicate(ctx, c.Source, c.Spec.Changes.Endpoint())
	if err != nil {
		return "", "", err
	}
	who, err := pglogrepl.IdentifySystem(ctx, conn)
	return who.SystemID, who.DBName, errors.Join(err, conn.Close(ctx))
}

// refused explains why there is no replication connection although server and role
// allow one.
func (c *checkup) refused(err error) {
	pe, _ := errors.AsType[*pgconn.PgError](err)
	if pe == nil || strings.HasPrefix(pe.Code, "08") || strings.HasPrefix(pe.Code, "42") {
		c.Fail("", "changes.url takes no replication connections, as a pooler like PgBouncer does: set changes.url "+
			"to a direct connection (%v)", err)
		return
	}
	c.Fail("", "changes.url refuses a replication connection: %v; allow it, in pg_hba.conf for example, or use "+
		"changes.source: outbox", err)
}

// brokenOff reports whether a connection ended without a word of the server's, or was
// refused because it starts or stops: that says nothing of how it is set up.
func brokenOff(err error) bool {
	if pe, ok := errors.AsType[*pgconn.PgError](err); ok {
		return strings.HasPrefix(pe.Code, "57P")
	}
	_, network := errors.AsType[net.Error](err)
	return network || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

// plainRow reads the one row of a query on a connection of its own.
func plainRow(ctx context.Context, s *postgres.Source, e jobs.Endpoint, sql string, params ...string) (row []string,
	err error) {
	conn, err := s.Connect(ctx, e, func(cfg *pgconn.Config) { postgres.SetName(cfg, "stoker") })
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, conn.Close(ctx)) }()
	values := make([][]byte, len(params))
	for i, p := range params {
		values[i] = []byte(p)
	}
	res := conn.ExecParams(ctx, sql, values, nil, nil, nil).Read()
	if res.Err != nil {
		return nil, res.Err
	}
	for _, v := range res.Rows[0] {
		row = append(row, string(v))
	}
	return row, nil
}
