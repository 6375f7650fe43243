package wal_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/stokerhq/stoker/store/feed"
	"github.com/stokerhq/stoker/store/feed/feedtest"
	"github.com/stokerhq/stoker/store/feed/wal"
	"github.com/stokerhq/stoker/store/storetest"
)

// Broken by: a slot whose begin is taken for the moment from which nothing is missed.
// Postgres takes its first snapshot for decoding in three looks at the transactions
// that run. One that has begun after the second, and is written to the log before the
// third, but waits for a synchronous standby, is in neither the feed nor a snapshot.
func TestUnsettled(t *testing.T) {
	server := storetest.OwnPostgres(t)
	url := server.URL("postgres")
	storetest.Exec(t, url, walSQL...)
	s := feedtest.Open(t, url)
	// the publication is there from now on: to make it, a standby is waited for
	w, _, err := wal.Open(t.Context(), wal.Config{Source: s, Spec: walSpec(t, url), Log: slog.New(slog.DiscardHandler)})
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	storetest.Exec(t, url, "ALTER SYSTEM SET synchronous_standby_names = 'nobody'", "SELECT pg_reload_conf()")
	t.Cleanup(func() {
		storetest.Exec(t, url, "ALTER SYSTEM RESET synchronous_standby_names", "SELECT pg_reload_conf()")
	})
	look := unwaiting(t, url)
	holds := func(what, sql string, args ...any) {
		t.Helper()
		feedtest.Eventually(t, what, func() bool {
			var yes bool
			if err := look.QueryRow(t.Context(), sql, args...).Scan(&yes); err != nil {
				t.Fatal(err)
			}
			return yes
		})
	}
	const waitedFor = "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'transactionid' AND NOT granted AND " +
		"transactionid::text = $1)"

	first, firstID := writing(t, url, "INSERT INTO plain VALUES (1001)")
	type opened struct {
		feed  *wal.Feed
		start feed.Start
		err   error
	}
	ready := make(chan opened, 1)
	go func() {
		w, start, err := wal.Open(t.Context(), wal.Config{Source: s, Spec: walSpec(t, url),
			Log: slog.New(slog.DiscardHandler)})
		ready <- opened{w, start, err}
	}()
	holds("the slot waits for the first transaction", waitedFor, firstID)
	second, secondID := writing(t, url, "INSERT INTO plain VALUES (1002)")
	commit(t, first)
	holds("the slot waits for the second transaction", waitedFor, secondID)
	waits := make(chan error, 1)
	go func() {
		conn, err := pgx.Connect(context.Background(), url)
		if err == nil {
			_, err = conn.Exec(context.Background(), "INSERT INTO plain VALUES (1003)")
			_ = conn.Close(context.Background())
		}
		waits <- err
	}()
	holds("the third waits for the standby", "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event = "+
		"'SyncRep')")
	commit(t, second)

	var o opened
	select {
	case o = <-ready:
	case <-time.After(20 * time.Second):
		t.Fatal("the slot is not made")
	}
	if o.err != nil {
		t.Fatal(o.err)
	}
	defer func() {
		if err := o.feed.Close(); err != nil {
			t.Error(err)
		}
	}()
	if open, err := o.start.Unsettled(t.Context()); err != nil || !open {
		t.Errorf("settled, with a transaction that waits: %v, %v", open, err)
	}
	holds("no snapshot shows it", "SELECT NOT EXISTS (SELECT FROM plain WHERE id = 1003)")
	if _, err := look.Exec(t.Context(), "INSERT INTO plain VALUES (1004)"); err != nil {
		t.Fatal(err)
	}
	if got, _ := next(t, o.feed, 1); got != "plain map[id:1004]" {
		t.Errorf("the feed yields %s", got)
	}
	storetest.Exec(t, url, "ALTER SYSTEM RESET synchronous_standby_names", "SELECT pg_reload_conf()")
	if err := <-waits; err != nil {
		t.Error(err)
	}
	if open, err := o.start.Unsettled(t.Context()); err != nil || open {
		t.Errorf("unsettled, with none that waits: %v, %v", open, err)
	}
	holds("snapshots show it", "SELECT EXISTS (SELECT FROM plain WHERE id = 1003)")
}

// unwaiting is a connection whose commits wait for no standby.
func unwaiting(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	if _, err := conn.Exec(t.Context(), "SET synchronous_commit = local"); err != nil {
		t.Fatal(err)
	}
	return conn
}

// writing is a transaction that has written, and its number.
func writing(t *testing.T, url, sql string) (tx pgx.Tx, xid string) {
	t.Helper()
	tx, err := unwaiting(t, url).Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), sql); err != nil {
		t.Fatal(err)
	}
	if err := tx.QueryRow(t.Context(), "SELECT pg_current_xact_id()::text").Scan(&xid); err != nil {
		t.Fatal(err)
	}
	return tx, xid
}

func commit(t *testing.T, tx pgx.Tx) {
	t.Helper()
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
}
