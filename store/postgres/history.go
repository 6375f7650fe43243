package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// sign is one of the signs by which a history of Postgres is known, in the order in
// which a store.Snapshot's origin has them. None of them changes when statistics are
// reset. A hardened server may refuse each, and Aurora does not have all.
type sign struct {
	sql       string
	functions []string // that it calls, as GRANT names them
}

const (
	signSystem = iota
	signTimeline
	signStart
	signProcesses
	signCount
)

var signs = [signCount]sign{
	signSystem: {"SELECT system_identifier FROM pg_control_system()", []string{"pg_control_system()"}},
	signTimeline: {"SELECT substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)",
		[]string{"pg_walfile_name(pg_lsn)", "pg_current_wal_lsn()"}},
	signStart: {"SELECT extract(epoch FROM pg_postmaster_start_time())", []string{"pg_postmaster_start_time()"}},
	// A crash that the server recovers from by itself may lose commits too. It changes
	// neither the timeline nor the start of the server; but it ends every process except
	// the first. The server's own processes have neither a database nor a role, and anybody
	// may see their numbers.
	signProcesses: {`SELECT string_agg(pg_stat_get_backend_pid(i)::text, ',') FROM pg_stat_get_backend_idset() AS i
		WHERE pg_stat_get_backend_dbid(i) = 0 AND pg_stat_get_backend_userid(i) = 0`,
		[]string{"pg_stat_get_backend_idset()", "pg_stat_get_backend_pid(integer)", "pg_stat_get_backend_dbid(integer)",
			"pg_stat_get_backend_userid(integer)", "pg_backend_pid()"}},
}

// refusals are the answers to the signs; nil: the sign is read.
type refusals [signCount]error

// refusalsKept is how long it is taken for true that a sign is refused: it may be
// granted meanwhile.
const refusalsKept = time.Minute

// history is what a Source knows of the signs.
type history struct {
	refused *refusals // nil: nothing was tried yet
	tried   time.Time
	stale   bool // a reading failed: a right may have been taken back
}

// signsOf tries the signs on this connection, unless it is known which are refused. In
// an open transaction nothing is tried: a refusal would end it.
func (s *Source) signsOf(ctx context.Context, c *pgconn.PgConn) (refusals, error) {
	s.mu.Lock()
	h := s.history
	s.mu.Unlock()
	known := h.refused != nil
	if known && !h.stale && (*h.refused == refusals{} || time.Since(h.tried) < refusalsKept) {
		return *h.refused, nil
	}
	if c.TxStatus() != 'I' {
		if known {
			return *h.refused, nil
		}
		return refusals{}, nil
	}
	refused, err := trySigns(ctx, c)
	if err != nil {
		return refused, err
	}
	s.mu.Lock()
	s.history = history{refused: &refused, tried: time.Now()}
	s.mu.Unlock()
	return refused, nil
}

// trySigns reads each sign once.
func trySigns(ctx context.Context, c *pgconn.PgConn) (refused refusals, err error) {
	for i, sg := range signs {
		sql := "SELECT CASE WHEN current_setting('in_hot_standby') = 'on' THEN NULL ELSE (" + sg.sql + ")::text END"
		_, err := c.Exec(ctx, sql).ReadAll() // a replication connection takes no other protocol
		if err == nil {
			continue
		}
		pe, answered := errors.AsType[*pgconn.PgError](err)
		if !answered || c.IsClosed() || passing(pe.Code) {
			return refused, fmt.Errorf("read the signs of the history of postgres: %w", err)
		}
		refused[i] = err
	}
	return refused, nil
}

// passing reports whether an SQLSTATE says nothing of what the server allows: a lost
// connection, a lack of resources, a shutdown, a cancel.
func passing(state string) bool {
	return strings.HasPrefix(state, "08") || strings.HasPrefix(state, "53") || strings.HasPrefix(state, "57")
}

// RetrySigns has the signs tried again before the next reading, if err may come from
// a sign that was read until now. It reports whether it may.
func (s *Source) RetrySigns(err error) bool {
	pe, _ := errors.AsType[*pgconn.PgError](err)
	if pe == nil || !slices.Contains([]string{"0A", "42", "55", "XX"}, pe.Code[:2]) {
		return false
	}
	s.mu.Lock()
	s.history.stale = true
	s.mu.Unlock()
	return true
}

// originSQL is the expression of the origin on this connection, followed by the number of
// the process that answers. The signs are read each time, not once a connection: a pooler
// may hand us another server's. Only the list of processes, which costs a look at every
// session, is read once for each process that answers: no process outlives a crash.
func originSQL(c *pgconn.PgConn, refused refusals) string {
	parts := make([]string, 0, signCount+1)
	for i, sg := range signs {
		sql := "coalesce((" + sg.sql + ")::text, '')"
		if refused[i] != nil {
			sql = "''"
		}
		parts = append(parts, sql)
	}
	pid := "''"
	if refused[signProcesses] == nil {
		pid = "pg_backend_pid()::text"
		if known, ok := c.CustomData()[answering{}.key()].(answering); ok {
			parts[signProcesses] = fmt.Sprintf("CASE WHEN concat_ws('/', %s, %s) = '%s' THEN '%s' ELSE %s END",
				parts[signStart], pid, known.process, known.processes, parts[signProcesses])
		}
	}
	return "CASE WHEN pg_is_in_recovery() THEN 'standby' ELSE concat_ws('/', " +
		strings.Join(append(parts, pid), ", ") + ") END"
}

// answering is the server process that has answered on a connection, and the server's own
// processes, as it saw them.
type answering struct {
	process   string // start of the server, and its number
	processes string
}

func (answering) key() string { return "stoker.answering" }

// OriginSQL returns an expression for the origin of a snapshot on this connection, for
// ReadOrigin.
func (s *Source) OriginSQL(ctx context.Context, c *pgconn.PgConn) (string, error) {
	refused, err := s.signsOf(ctx, c)
	return originSQL(c, refused), err
}

// ReadOrigin reads what an expression of OriginSQL has returned on the connection.
func ReadOrigin(c *pgconn.PgConn, text string) (string, error) {
	if text == "standby" {
		return text, ErrStandby
	}
	parts := strings.Split(text, "/")
	if len(parts) != signCount+1 {
		return "", fmt.Errorf("origin %q has %d parts", text, len(parts))
	}
	if pid := parts[signCount]; pid != "" {
		c.CustomData()[answering{}.key()] = answering{parts[signStart] + "/" + pid, parts[signProcesses]}
	}
	return strings.Join(parts[:signCount], "/"), nil
}

// Unnoticed says which signs of its history Postgres refuses to Stoker's role, what is
// not noticed without them, and what to grant; "" when it refuses none.
func (s *Source) Unnoticed(ctx context.Context) (message string, err error) {
	err = s.Do(ctx, func(c *pgx.Conn) error {
		refused, err := s.signsOf(ctx, c.PgConn())
		if err != nil || refused == (refusals{}) {
			return err
		}
		row := c.PgConn().ExecParams(ctx, "SELECT quote_ident(current_user)", nil, nil, nil, nil).Read()
		if row.Err != nil {
			return fmt.Errorf("read the role of the session: %w", row.Err)
		}
		message = refused.describe(string(row.Rows[0][0]))
		return nil
	})
	return message, err
}
