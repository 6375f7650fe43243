package postgres

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/stokerhq/stoker/jobs"
)

// Setting is a setting of a Postgres session, and its value.
type Setting struct{ Name, Value string }

// PrintSettings are the settings that decide how Postgres prints a value. A reading,
// the replication connection and the trigger functions of the outbox all use them: a
// key that one of them prints in another way is another key.
var PrintSettings = []Setting{
	{"timezone", "UTC"},
	{"datestyle", "ISO"},
	{"intervalstyle", "postgres"},
	{"bytea_output", "hex"},
	{"extra_float_digits", "1"},
}

// SetSQL is a SET clause for each of the PrintSettings, with a separator in between:
// "; " makes statements of a session, " " the clauses of CREATE FUNCTION.
func SetSQL(separator string) string {
	clauses := make([]string, len(PrintSettings))
	for i, s := range PrintSettings {
		clauses[i] = "SET " + s.Name + " = '" + s.Value + "'"
	}
	return strings.Join(clauses, separator)
}

// localSettings are the PrintSettings as further columns of a SELECT, which sets them
// for its transaction.
func localSettings() string {
	var b strings.Builder
	for _, s := range PrintSettings {
		b.WriteString(", set_config('" + s.Name + "', '" + s.Value + "', true)")
	}
	return b.String()
}

// begin queues what every reading starts with: the transaction, unless enter has
// begun it, its snapshot, and the settings that JSON depends on. They are local
// to the transaction, so that a pooler in between, or a setting of the role,
// cannot change a byte. limit is what the server lets a statement take; lock is how
// long to wait for a table that is locked; 0 is as long as a statement may take.
// What follows runs as the job's role. The snapshot is read as the session's: it is that role that may read the signs
// of the server's history, and a snapshot says whose it is.
func (s *Source) begin(ctx context.Context, c *pgconn.PgConn, job *jobs.Job, entered bool, limit,
	lock time.Duration) (*pgconn.Batch, error) {
	snapshot, err := s.SnapshotSQL(ctx, c)
	if err != nil {
		return nil, err
	}
	b := &pgconn.Batch{}
	if !entered {
		b.ExecParams("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", nil, nil, nil, nil)
	} else if job.Role != "" {
		b.ExecParams(ownRole, nil, nil, nil, nil)
	}
	b.ExecParams(snapshot+beginSettings, [][]byte{milliseconds(limit), milliseconds(lock), roleOf(job)}, nil, nil, nil)
	return b, nil
}

var beginSettings = localSettings() + `, set_config('client_encoding', 'UTF8', true),
	set_config('statement_timeout', $1, true), set_config('lock_timeout', $2, true),
	set_config('role', $3, true) /* stoker */`

// ownRole gives the transaction the session's role again.
const ownRole = "SET LOCAL ROLE NONE /* stoker */"

// roleOf is the value of the setting "role" with which a job's statements run.
func roleOf(job *jobs.Job) []byte {
	if job.Role == "" {
		return []byte("none")
	}
	return []byte(job.Role)
}

// How long readings wait for a locked table. A run waits as long as a statement
// may. A refresh, and the check of an invalidation, come again: if they waited,
// one locked table would hold up the refreshes of every other job.
const (
	lockWaitRun     = 0
	lockWaitRefresh = 2 * time.Second
)

func milliseconds(d time.Duration) []byte { return strconv.AppendInt(nil, d.Milliseconds(), 10) }
