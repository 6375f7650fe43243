package postgres_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// orderWriter counts its own row up, in transactions of every kind. Rows that show
// -1 were never committed.
type orderWriter struct {
	t      *testing.T
	n      int
	url    string
	conn   *pgx.Conn
	number int // of transactions
}

// orderKinds are the statements of each kind of transaction; count is the one that
// counts up.
var orderKinds = []func(w *orderWriter, count string) []string{
	func(_ *orderWriter, count string) []string { return []string{count} },
	func(w *orderWriter, _ string) []string {
		return []string{"BEGIN", w.poison(), "ROLLBACK"}
	},
	func(w *orderWriter, count string) []string {
		return []string{"BEGIN", count, "SAVEPOINT s", w.poison(), "ROLLBACK TO s", "COMMIT"}
	},
	func(w *orderWriter, count string) []string { // more subtransactions than a backend lists
		return []string{"BEGIN", strings.Repeat("SAVEPOINT s;"+count+";", 80), "COMMIT"}
	},
	func(w *orderWriter, count string) []string {
		return []string{"BEGIN", "SAVEPOINT first", strings.Repeat("SAVEPOINT s;"+w.poison()+";", 80),
			"ROLLBACK TO first", count, "COMMIT"}
	},
	func(w *orderWriter, count string) []string {
		return []string{"BEGIN", count, "PREPARE TRANSACTION " + w.gid(), "COMMIT PREPARED " + w.gid()}
	},
	func(w *orderWriter, _ string) []string {
		return []string{"BEGIN", w.poison(), "PREPARE TRANSACTION " + w.gid(), "ROLLBACK PREPARED " + w.gid()}
	},
	func(w *orderWriter, count string) []string { // commits at once, whoever is to confirm it
		return []string{"BEGIN", "SET LOCAL synchronous_commit = local", count, "COMMIT"}
	},
}

func (w *orderWriter) poison() string {
	return fmt.Sprintf("UPDATE c SET v = -1 WHERE id = %d", w.n)
}

// gid names the transaction, where it is prepared.
func (w *orderWriter) gid() string { return fmt.Sprintf("'p%d-%d'", w.n, w.number) }

// write goes on until ctx ends. Each writer begins with another kind, so that all
// are there from the first moment.
func (w *orderWriter) write(ctx context.Context) {
	background := context.Background() // what has begun ends
	var err error
	if w.conn, err = pgx.Connect(background, w.url); err != nil {
		w.t.Error(err)
		return
	}
	defer w.conn.Close(background)
	count := fmt.Sprintf("UPDATE c SET v = v + 1 WHERE id = %d", w.n)
	for ; ctx.Err() == nil; w.number++ {
		for _, sql := range orderKinds[(w.n+w.number)%len(orderKinds)](w, count) {
			if _, err := w.conn.Exec(background, sql, pgx.QueryExecModeSimpleProtocol); err != nil {
				w.t.Errorf("%v\nin: %.200s", err, sql)
				return
			}
			time.Sleep(rand.N(2 * time.Millisecond))
		}
	}
}

// holdUp has commits wait for a standby that is not there, now and then: they are
// in the write-ahead log and in no snapshot.
func holdUp(ctx context.Context, t *testing.T, url string) {
	background := context.Background()
	conn, err := pgx.Connect(background, url)
	if err != nil {
		t.Error(err)
		return
	}
	defer conn.Close(background)
	for ctx.Err() == nil {
		for _, names := range []string{"nobody", ""} {
			for _, sql := range []string{"ALTER SYSTEM SET synchronous_standby_names = '" + names + "'",
				"SELECT pg_reload_conf()"} {
				if _, err := conn.Exec(background, sql); err != nil {
					t.Error(err)
				}
			}
			time.Sleep(50 * time.Millisecond)
		}
		time.Sleep(100 * time.Millisecond)
	}
}
