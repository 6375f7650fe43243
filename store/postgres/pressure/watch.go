// Package pressure asks Postgres whether it can bear more: how far its standbys are behind, and what a query of the
// user says.
package pressure

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/jobs/budget"
	"github.com/stokerhq/stoker/store/postgres"
)

// What a reason to wait comes from.
const (
	ByLag   = "lag"
	ByQuery = "query"
)

// Watch looks at the database on a connection beside the pool, whose connections runs may have.
type Watch struct {
	source *postgres.Source
	at     jobs.Endpoint
	bounds budget.Budget
	conn   *pgconn.PgConn // nil: opened at the next question
}

// New returns a watch. It connects at the first question.
func New(source *postgres.Source, at jobs.Endpoint, bounds budget.Budget) *Watch {
	return &Watch{source: source, at: at, bounds: bounds}
}

// lagSQL is the lag of the physical standby that is furthest behind, in seconds. One whose lag we have no right to see
// has no state.
const lagSQL = `SELECT coalesce(max(extract(epoch FROM replay_lag)), 0), count(*) FILTER (WHERE state IS NULL)
FROM pg_stat_replication r
WHERE NOT EXISTS (SELECT FROM pg_replication_slots s WHERE s.active_pid = r.pid AND s.slot_type = 'logical')`

// Reason asks for the lag of standbys, and what throttle_query says. reason is "" if runs may go on; kind is ByLag or
// ByQuery, also of an error.
func (w *Watch) Reason(ctx context.Context) (reason string, kind string, err error) {
	kind = ByLag
	if w.bounds.MaxLag > 0 {
		if reason, err = w.lag(ctx); reason != "" || err != nil {
			return reason, kind, err
		}
	}
	if w.bounds.Query != "" {
		kind = ByQuery
		row, err := w.row(ctx, w.bounds.Query)
		if err != nil {
			return "", kind, fmt.Errorf("throttle_query: %w", err)
		}
		if len(row) > 0 && !lets(row[0]) {
			return fmt.Sprintf("throttle_query says %.100s", row[0]), kind, nil
		}
	}
	return "", kind, nil
}

// lets reports whether a value of throttle_query lets runs go on.
func lets(value string) bool {
	value = strings.TrimSpace(value)
	if n, err := strconv.ParseFloat(value, 64); err == nil {
		return n == 0
	}
	return value == "" || value == "f" || value == "false"
}

func (w *Watch) lag(ctx context.Context) (reason string, err error) {
	row, err := w.row(ctx, lagSQL)
	if err != nil {
		return "", fmt.Errorf("max_lag: %w", err)
	}
	seconds, err := strconv.ParseFloat(row[0], 64)
	if err != nil {
		return "", fmt.Errorf("max_lag: read the lag: %w", err)
	}
	if row[1] != "0" {
		return "", fmt.Errorf("max_lag: the role may not see the lag of standbys: GRANT pg_monitor TO it, or take " +
			"max_lag out")
	}
	if lag := time.Duration(seconds * float64(time.Second)); lag > w.bounds.MaxLag {
		return fmt.Sprintf("a standby is %s behind, max_lag is %s", lag.Round(time.Millisecond), w.bounds.MaxLag), nil
	}
	return "", nil
}

// row is the first row of the last statement, in texts; NULL is "".
func (w *Watch) row(ctx context.Context, sql string) (row []string, err error) {
	if w.conn == nil || w.conn.IsClosed() {
		w.conn, err = w.source.Connect(ctx, w.at, func(c *pgconn.Config) {
			c.RuntimeParams["application_name"] = "stoker throttle"
			c.RuntimeParams["default_transaction_read_only"] = "on"
			c.RuntimeParams["statement_timeout"] = "900ms"
		})
		if err != nil {
			return nil, err
		}
	}
	results, err := w.conn.Exec(ctx, sql).ReadAll()
	if err != nil {
		return nil, err
	}
	if len(results) == 0 || len(results[len(results)-1].Rows) == 0 {
		return nil, nil
	}
	for _, value := range results[len(results)-1].Rows[0] {
		row = append(row, string(value))
	}
	return row, nil
}

// Close ends the connection.
func (w *Watch) Close() {
	if w.conn != nil {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = w.conn.Close(ctx) // there is nobody to be told
	}
}
