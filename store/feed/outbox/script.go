package outbox

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

// Script is SQL transactions, to be run in their order. Each can be run again, and
// so can all of them.
type Script []Transaction

// Transaction is SQL statements that belong together. It locks one table of the
// application's at most: who holds a lock and waits for another makes deadlocks,
// and the application could be the one that Postgres ends.
type Transaction struct {
	Table string // that it locks; "": none of the application's
	SQL   []string
}

// lockLimitSQL keeps the application from waiting behind us: to make a trigger, its
// table is locked against writes, and who comes after us waits while we do. It is
// shorter than deadlock_timeout, which is a second unless it was changed.
const lockLimitSQL = "SET LOCAL lock_timeout = '500ms'"

// pathSQL: what the search_path of who runs the script leads to may be somebody
// else's. Every name in it has its schema.
const pathSQL = "SET LOCAL search_path = pg_catalog, pg_temp"

// String is the transaction as psql takes it.
func (t Transaction) String() string {
	return "BEGIN;\n" + lockLimitSQL + ";\n" + pathSQL + ";\n" + strings.Join(t.SQL, ";\n") + ";\nCOMMIT;\n"
}

// String is the script as psql takes it.
func (s Script) String() string {
	var b strings.Builder
	b.WriteString("-- Each transaction locks one table, and waits for that half a second. If one fails,\n" +
		"-- with a lock timeout for instance, run all of this again: what is done stays.\n")
	for _, t := range s {
		b.WriteString(t.String())
	}
	return b.String()
}

// with adds a transaction, unless it is empty.
func (s Script) with(table string, sql []string) Script {
	if len(sql) == 0 {
		return s
	}
	return append(s, Transaction{table, sql})
}

// How often a transaction is tried that does not get its lock. Between the tries
// writers go first.
const (
	lockTries = 4
	lockPause = 500 * time.Millisecond
)

// Apply runs a script. If a transaction fails, those before it stay.
func Apply(ctx context.Context, s *postgres.Source, script Script) error {
	for i, t := range script {
		if err := transact(ctx, s, t); err != nil {
			state := "nothing was changed"
			if i > 0 {
				state = fmt.Sprintf("%d of %d transactions are done and stay", i, len(script))
			}
			return t.describeError(err, state)
		}
	}
	return nil
}

// transact runs one transaction, again if it did not get its lock.
func transact(ctx context.Context, s *postgres.Source, t Transaction) error {
	for try := 1; ; try++ {
		err := s.Do(ctx, func(c *pgx.Conn) error {
			_, err := c.PgConn().Exec(ctx, t.String()).ReadAll()
			if err == nil || c.PgConn().IsClosed() || c.PgConn().TxStatus() == 'I' {
				return err
			}
			_, rerr := c.PgConn().Exec(ctx, "ROLLBACK").ReadAll()
			return errors.Join(err, rerr)
		})
		if try == lockTries || !lockedOut(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return errors.Join(err, ctx.Err())
		case <-time.After(lockPause):
		}
	}
}

// lockedOut: lock_not_available, deadlock_detected.
func lockedOut(err error) bool {
	pe, ok := errors.AsType[*pgconn.PgError](err)
	return ok && (pe.Code == "55P03" || pe.Code == "40P01")
}

// explain adds to an error what to do; state is what has become of the script.
func (t Transaction) describeError(err error, state string) error {
	pe, _ := errors.AsType[*pgconn.PgError](err)
	switch {
	case lockedOut(err) && t.Table != "":
		return fmt.Errorf("%w: transactions hold table %s; %s: run it again when they have ended", err, t.Table, state)
	case lockedOut(err):
		return fmt.Errorf("%w: transactions hold the outbox; %s: run it again when they have ended", err, state)
	case pe != nil && pe.Code == "42501":
		return fmt.Errorf("%w; %s: have the owner of the tables run what the command prints without --apply", err,
			state)
	}
	return fmt.Errorf("%s: %w; run it again when that is mended", state, err)
}
