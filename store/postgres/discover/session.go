package discover

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/stokerhq/stoker/store/postgres"
)

// patience is how long one statement of ours may take. What the application waits for a thousand times a minute does
// not take longer; what does is not worth a first job.
const patience = 10 * time.Second

// in calls fn inside a READ ONLY transaction that sees one snapshot, and rolls it back.
func (d *discovery) in(ctx context.Context, fn func(*pgconn.PgConn) error) error {
	return d.cfg.Source.Do(ctx, func(conn *pgx.Conn) (err error) {
		c := conn.PgConn()
		begin := []string{"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
			fmt.Sprintf("SET LOCAL statement_timeout = %d", patience.Milliseconds()),
			"SET LOCAL lock_timeout = 2000"}
		for _, s := range postgres.PrintSettings {
			begin = append(begin, fmt.Sprintf("SET LOCAL %s = '%s'", s.Name, s.Value))
		}
		if err := c.Exec(ctx, strings.Join(begin, "; ")+" /* stoker */").Close(); err != nil {
			return fmt.Errorf("begin to read: %w", err)
		}
		defer func() { err = errors.Join(err, c.Exec(context.WithoutCancel(ctx), "ROLLBACK").Close()) }()
		return fn(c)
	})
}

// query reads rows as text; NULL is "".
func (d *discovery) query(ctx context.Context, sql string, params ...string) (rows [][]string, err error) {
	err = d.in(ctx, func(c *pgconn.PgConn) error {
		rows, err = read(ctx, c, sql, params...)
		return err
	})
	return rows, err
}

func read(ctx context.Context, c *pgconn.PgConn, sql string, params ...string) (rows [][]string, err error) {
	values := make([][]byte, len(params))
	for i, p := range params {
		values[i] = []byte(p)
	}
	res := c.ExecParams(ctx, sql, values, nil, nil, nil).Read()
	for _, r := range res.Rows {
		row := make([]string, len(r))
		for i, v := range r {
			row[i] = string(v)
		}
		rows = append(rows, row)
	}
	return rows, res.Err
}

// mark says in pg_stat_statements that a statement is ours.
const ours = "/* stoker init */ "

// describe prepares a statement. A refusal of Postgres is no error of ours: it is returned as such.
func (d *discovery) describe(ctx context.Context, sql string) (sd *pgconn.StatementDescription,
	refused *pgconn.PgError, err error) {
	err = d.in(ctx, func(c *pgconn.PgConn) error {
		sd, err = c.Prepare(ctx, "", ours+sql, nil)
		return err
	})
	if pe, ok := errors.AsType[*pgconn.PgError](err); ok {
		return nil, pe, nil
	}
	return sd, nil, err
}

// readReserved reads the words that a name must not be without quotes.
func (d *discovery) readReserved(ctx context.Context) error {
	rows, err := d.query(ctx, "SELECT word FROM pg_get_keywords() WHERE catcode <> 'U' /* stoker */")
	if err != nil {
		return fmt.Errorf("read the keywords of postgres: %w", err)
	}
	d.reserved = make(map[string]bool)
	for _, r := range rows {
		d.reserved[r[0]] = true
	}
	return nil
}

// quoted is a name as SQL writes it, with quotes only where it needs them.
func (d *discovery) quoted(name string) string {
	if name == "" || d.reserved[name] || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz_0123456789") != "" ||
		name[0] >= '0' && name[0] <= '9' {
		return pgx.Identifier{name}.Sanitize()
	}
	return name
}
