package feed

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/stokerhq/stoker/store/postgres"
)

// Holder is what keeps dead rows from being removed, if anything does: the oldest open
// transaction, a prepared one, or a slot or standby that asks for it.
type Holder struct {
	Kind        string // session, prepared transaction, replication slot; "": nothing does
	PID         int    // of a session; 0: none
	Application string // of a session; the name of the others
	Database    string
	Role        string
	State       string        // of a session; "": it is another role's
	Transaction string        // its number, or that of the oldest one that it can see as open
	Age         time.Duration // since it began; 0: it is not known, because it is another role's
}

// String names it.
func (h Holder) String() string {
	switch {
	case h.Kind == "":
		return "nothing"
	case h.PID > 0:
		return fmt.Sprintf("%s pid %d (application %q, role %s, database %s)", h.Kind, h.PID, h.Application, h.Role,
			h.Database)
	}
	return fmt.Sprintf("%s %q (database %s)", h.Kind, h.Application, h.Database)
}

// Remedy is the statement that ends it.
func (h Holder) Remedy() string {
	switch h.Kind {
	case "":
		return ""
	case "session":
		return fmt.Sprintf("SELECT pg_terminate_backend(%d)", h.PID)
	case "prepared transaction":
		return "COMMIT PREPARED or ROLLBACK PREPARED " + quoted(h.Application) + ", in its database"
	}
	return "let the standby catch up, or SELECT pg_drop_replication_slot(" + quoted(h.Application) + ")"
}

func quoted(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }

// holderSQL names what holds back the removal of dead rows most. Of two sessions that
// hold it back as far, it is the one whose own number it is: the other has merely seen it
// open. A reader of another database holds back nothing here.
const holderSQL = `SELECT kind, coalesce(pid, 0), coalesce(name, ''), coalesce(database, ''), coalesce(role, ''), coalesce(state, ''),
	coalesce(greatest(extract(epoch FROM clock_timestamp() - began), 0.001), 0), number FROM (
	SELECT 'session' AS kind, pid, application_name AS name, coalesce(datname, '') AS database, usename AS role, state, xact_start AS began,
		greatest(age(backend_xid), age(backend_xmin)) AS held, age(backend_xid) AS own,
		coalesce(backend_xid, backend_xmin)::text AS number
	FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND (backend_xid IS NOT NULL OR backend_xmin IS NOT NULL AND (datid IS NULL OR datname = current_database()))
		AND backend_type IS DISTINCT FROM 'autovacuum worker'
	UNION ALL SELECT 'prepared transaction', NULL, gid, database, owner, 'prepared', prepared, age(transaction), age(transaction), transaction::text FROM pg_prepared_xacts
	UNION ALL SELECT 'replication slot', NULL, slot_name, coalesce(database, ''), NULL, NULL, NULL, age(xmin), NULL, xmin::text FROM pg_replication_slots WHERE xmin IS NOT NULL
) AS h ORDER BY held DESC, own DESC NULLS LAST, began NULLS LAST LIMIT 1`

// Held is how large an outbox has become, and what keeps its dead rows.
type Held struct {
	Bytes  int64 // of the table and its index
	Holder Holder
}

// FindHolder looks for what keeps dead rows from being removed. Who may not read all
// statistics (pg_read_all_stats) sees no age of other roles' transactions.
func FindHolder(ctx context.Context, s *postgres.Source) (h Holder, err error) {
	err = s.Do(ctx, func(c *pgx.Conn) error {
		res := c.PgConn().ExecParams(ctx, holderSQL, nil, nil, nil, nil).Read()
		if res.Err != nil {
			return fmt.Errorf("look for the oldest transaction: %w", res.Err)
		}
		if len(res.Rows) == 0 {
			return nil
		}
		row := res.Rows[0]
		h = Holder{Kind: string(row[0]), Application: string(row[2]), Database: string(row[3]), Role: string(row[4]),
			State: string(row[5]), Transaction: string(row[7])}
		if h.PID, err = strconv.Atoi(string(row[1])); err != nil {
			return fmt.Errorf("look for the oldest transaction: %w", err)
		}
		seconds, err := strconv.ParseFloat(string(row[6]), 64)
		if err != nil {
			return fmt.Errorf("look for the oldest transaction: %w", err)
		}
		h.Age = time.Duration(seconds * float64(time.Second))
		return nil
	})
	return h, err
}
