package checker

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
)

// writer commits changes, and rolls back others, until it is stopped.
type writer struct {
	w    *Cluster
	n    int
	rnd  *rand.Rand
	conn *pgx.Conn
}

// endings are how a transaction may go. Poison is what must never be seen.
var endings = []struct {
	name   string
	weight int
	end    func(wr *writer, ctx context.Context, d txAction) error
}{
	{"commit", 10, (*writer).commit},
	{"local commit", 4, (*writer).commitLocal},
	{"rollback", 3, (*writer).rollback},
	{"savepoint", 3, (*writer).savepoint},
	{"commit prepared", 2, (*writer).commitPrepared},
	{"rollback prepared", 1, (*writer).rollbackPrepared},
}

// step does one transaction. A writer that has lost its connection takes a new
// one; the fate of its transaction is not known.
func (wr *writer) step(ctx context.Context) {
	d := choose(wr.w.history, wr.rnd)
	if !take(d.rows) {
		return
	}
	defer release(d.rows)
	if err := wr.connect(ctx); err != nil {
		return // the database is away
	}
	sum := 0
	for _, e := range endings {
		sum += e.weight
	}
	n := wr.rnd.IntN(sum)
	for _, e := range endings {
		if n -= e.weight; n < 0 {
			if err := e.end(wr, ctx, d); err != nil {
				wr.w.trouble("writer", err)
				wr.disconnect()
			}
			return
		}
	}
}

// take holds all rows, or none.
func take(rows []*row) bool {
	for i, r := range rows {
		if !r.held.TryLock() {
			release(rows[:i])
			return false
		}
	}
	return true
}

func release(rows []*row) {
	for _, r := range rows {
		r.held.Unlock()
	}
}

// connect opens a session, and ends what its last one had prepared.
func (wr *writer) connect(ctx context.Context) error {
	if wr.conn != nil {
		return nil
	}
	conn, err := wr.w.connect(ctx)
	if err != nil {
		return err
	}
	wr.conn = conn
	if err := wr.exec(ctx, "SET lock_timeout = '2s'"); err != nil {
		return err
	}
	return endPrepared(ctx, conn, fmt.Sprintf("w%d-", wr.n))
}

func (wr *writer) disconnect() {
	if wr.conn != nil {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = wr.conn.Close(ctx) // it is broken as it is
		wr.conn = nil
	}
}

func (wr *writer) exec(ctx context.Context, statements ...string) error {
	for _, sql := range statements {
		if _, err := wr.conn.Exec(ctx, sql, pgx.QueryExecModeSimpleProtocol); err != nil {
			return fmt.Errorf("%w in %s", err, sql)
		}
	}
	return nil
}

// rolledBackVersion is a version that must never be seen.
func (wr *writer) rolledBackVersion(*row) int64 { return -1 - wr.w.history.ver.Add(1) }

// do commits a deed with statements around it.
func (wr *writer) do(ctx context.Context, kind string, d txAction, before, after []string) error {
	sql, changes := d.do(wr.w.history.next)
	if err := wr.exec(ctx, append(append(before, sql...), after...)...); err != nil {
		return err
	}
	wr.w.history.committed(kind, changes)
	wr.w.invalidateAll(changes)
	return nil
}

func (wr *writer) commit(ctx context.Context, d txAction) error {
	return wr.do(ctx, "commit", d, []string{"BEGIN"}, []string{"COMMIT"})
}

// commitLocal waits for no standby.
func (wr *writer) commitLocal(ctx context.Context, d txAction) error {
	return wr.do(ctx, "local commit", d, []string{"BEGIN", "SET LOCAL synchronous_commit = local"}, []string{"COMMIT"})
}

func (wr *writer) rollback(ctx context.Context, d txAction) error {
	sql, _ := d.do(wr.rolledBackVersion)
	wr.w.history.committed("rollback", nil)
	return wr.exec(ctx, append(append([]string{"BEGIN"}, sql...), "ROLLBACK")...)
}

// savepoint rolls back a part, and commits the rest.
func (wr *writer) savepoint(ctx context.Context, d txAction) error {
	poison, _ := d.do(wr.rolledBackVersion)
	before := append(append([]string{"BEGIN", "SAVEPOINT s"}, poison...), "ROLLBACK TO s")
	return wr.do(ctx, "savepoint", d, before, []string{"COMMIT"})
}

func (wr *writer) commitPrepared(ctx context.Context, d txAction) error {
	gid := wr.name()
	return wr.do(ctx, "commit prepared", d, []string{"BEGIN"},
		[]string{"PREPARE TRANSACTION " + gid, "SELECT pg_sleep(0.01)", "COMMIT PREPARED " + gid})
}

func (wr *writer) rollbackPrepared(ctx context.Context, d txAction) error {
	gid := wr.name()
	sql, _ := d.do(wr.rolledBackVersion)
	wr.w.history.committed("rollback prepared", nil)
	return wr.exec(ctx, append(append([]string{"BEGIN"}, sql...), "PREPARE TRANSACTION "+gid,
		"ROLLBACK PREPARED "+gid)...)
}

// name is a new name of a prepared transaction of the writer's.
func (wr *writer) name() string { return fmt.Sprintf("'w%d-%d'", wr.n, wr.w.history.ver.Add(1)) }

// endPrepared rolls back what was prepared under a prefix and left.
func endPrepared(ctx context.Context, conn *pgx.Conn, prefix string) error {
	rows, err := conn.Query(ctx, "SELECT gid FROM pg_prepared_xacts WHERE starts_with(gid, $1)", prefix)
	if err != nil {
		return err
	}
	left, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return err
	}
	for _, gid := range left {
		if _, err := conn.Exec(ctx, "ROLLBACK PREPARED '"+gid+"'"); err != nil {
			return err
		}
	}
	return nil
}
