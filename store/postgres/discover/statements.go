package discover

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/stokerhq/stoker/store/postgres/lex"
)

// statement is a row of pg_stat_statements, of all roles together.
type statement struct {
	id    string // queryid
	text  string // with $1 in place of each constant
	calls int64
	rows  int64
	took  time.Duration // in all calls
	age   time.Duration // since it is counted
}

// longestText is how many bytes of a statement are looked at. A longer one is no query that a person maintains.
const longestText = 20_000

// extension is pg_stat_statements as this database has it.
type extension struct {
	schema   string
	since    bool // it says of each statement since when it is counted: Postgres 17
	toplevel bool
	current  bool // it has total_exec_time
}

const extensionSQL = `SELECT n.nspname, ` +
	`bool_or(a.attname = 'stats_since'), bool_or(a.attname = 'toplevel'), bool_or(a.attname = 'total_exec_time') ` +
	`FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace ` +
	`JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = 'pg_stat_statements' ` +
	`JOIN pg_attribute a ON a.attrelid = c.oid WHERE e.extname = 'pg_stat_statements' GROUP BY 1`

// statements reads the statements on which the database has spent most time. missing says why there are none to be
// had, and what to do about it.
func (d *discovery) statements(ctx context.Context) (list []statement, missing string, err error) {
	rows, err := d.query(ctx, extensionSQL)
	if err != nil {
		return nil, "", fmt.Errorf("look for pg_stat_statements: %w", err)
	}
	if len(rows) == 0 {
		return nil, "pg_stat_statements is not in this database: put it into shared_preload_libraries, restart " +
			"Postgres, and CREATE EXTENSION pg_stat_statements", nil
	}
	ext := extension{schema: rows[0][0], since: rows[0][1] == "t", toplevel: rows[0][2] == "t",
		current: rows[0][3] == "t"}
	if !ext.current {
		return nil, "the extension pg_stat_statements is older than its library: ALTER EXTENSION " +
			"pg_stat_statements UPDATE", nil
	}
	if rows, err = d.query(ctx, ext.sql(), strconv.Itoa(d.cfg.Statements)); err != nil {
		if refused, ok := errors.AsType[*pgconn.PgError](err); ok {
			return nil, "pg_stat_statements cannot be read: " + refused.Message + remedyOf(refused.Code), nil
		}
		return nil, "", fmt.Errorf("read pg_stat_statements: %w", err)
	}
	for _, r := range rows {
		if r[0] == "" { // queryid, and so the text, is hidden
			d.report.Hidden = number(r[2])
			continue
		}
		list = append(list, statement{id: r[0], text: r[1], calls: number(r[2]), rows: number(r[3]),
			took: time.Duration(number(r[4])) * time.Microsecond,
			age:  time.Duration(number(r[5])) * time.Second})
	}
	d.readLosses(ctx, ext)
	return list, "", nil
}

func remedyOf(state string) string {
	switch state {
	case "55000":
		return " (it is not in shared_preload_libraries, or the server was not restarted since)"
	case "42501":
		return " (GRANT pg_read_all_stats TO Stoker's role)"
	}
	return ""
}

// sql reads the statements with most time, of all roles together. Hidden ones have no queryid and make one row.
func (e extension) sql() string {
	schema := pgx.Identifier{e.schema}.Sanitize()
	age := `(SELECT stats_reset FROM ` + schema + `.pg_stat_statements_info)`
	if e.since {
		age = "min(s.stats_since)"
	}
	toplevel := ""
	if e.toplevel {
		toplevel = " AND s.toplevel"
	}
	return `SELECT coalesce(s.queryid::text, ''), coalesce(min(left(s.query, ` + strconv.Itoa(longestText+1) + `)), ''),
		CASE WHEN s.queryid IS NULL THEN count(*) ELSE sum(s.calls) END::bigint, sum(s.rows)::bigint,
		(sum(s.total_exec_time) * 1000)::bigint,
		greatest(extract(epoch FROM now() - ` + age + `), 1)::bigint
	FROM ` + schema + `.pg_stat_statements s
	WHERE s.dbid = (SELECT oid FROM pg_database WHERE datname = current_database())` + toplevel + `
		AND coalesce(s.query, '') NOT LIKE '%/* stoker%'
	GROUP BY s.queryid ORDER BY sum(s.total_exec_time) DESC LIMIT $1 /* stoker */`
}

// readLosses notes how many statements were pushed out. That it cannot be read matters to nobody.
func (d *discovery) readLosses(ctx context.Context, e extension) {
	rows, err := d.query(ctx, `SELECT dealloc::text FROM `+pgx.Identifier{e.schema}.Sanitize()+
		`.pg_stat_statements_info /* stoker */`)
	if err == nil && len(rows) == 1 {
		d.report.Lost = number(rows[0][0])
	}
}

// number is an integer that Postgres has printed; NULL is 0.
func number(s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// first is the first word of SQL.
func first(sql string) string {
	for _, t := range lex.Lex(sql) {
		if !t.Is("(") {
			return t.Text
		}
	}
	return ""
}

// candidate reports whether the statement is worth a word: what controls a session, reads the catalog or is
// not whole is not.
func (s statement) candidate() (yes bool, why string) {
	t := strings.ToLower(s.text)
	switch {
	case len(s.text) > longestText:
		return true, fmt.Sprintf("its text is longer than %d bytes", longestText)
	case s.text == "":
		return true, "its text is lost"
	case strings.Contains(t, "pg_catalog.") || strings.Contains(t, "information_schema.") ||
		strings.Contains(t, " pg_"):
		return false, ""
	}
	switch first(t) {
	case "select", "with":
		return true, ""
	case "insert", "update", "delete", "merge":
		return true, "it writes (" + strings.ToUpper(first(t)) + ")"
	}
	return false, ""
}
