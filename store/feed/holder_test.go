package feed_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/stokerhq/stoker/store/feed"
	"github.com/stokerhq/stoker/store/feed/feedtest"
	"github.com/stokerhq/stoker/store/storetest"
)

// session runs statements in a session with this application_name.
func session(t *testing.T, url, application string, statements ...string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url+"&application_name="+application)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	for _, sql := range statements {
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	return conn
}

// What keeps dead rows is named, whoever it is. Broken by: naming a session that merely
// sees another one open, or one of another database that keeps nothing here.
func TestFindHolder(t *testing.T) {
	server := storetest.OwnPostgres(t, "max_prepared_transactions = 5", "autovacuum = off")
	url := server.URL("postgres")
	storetest.Exec(t, url, feedtest.Shop, "CREATE DATABASE other", "CREATE ROLE plain LOGIN PASSWORD 'secret'")
	const write = "BEGIN; UPDATE product SET name = 'x' WHERE id = 1"
	const read = "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM pg_class"
	all, plain := feedtest.Open(t, url), feedtest.Open(t, feedtest.AsRole(t, url, "plain", "secret"))
	find := func(what, kind, application, database string, old bool) {
		t.Helper()
		feedtest.Eventually(t, what, func() bool { // a session that was closed may still be ending
			h, err := feed.FindHolder(t.Context(), all)
			if err != nil {
				t.Fatal(err)
			}
			hidden, err := feed.FindHolder(t.Context(), plain)
			if err != nil {
				t.Fatal(err)
			}
			return h.Kind == kind && h.Application == application && h.Database == database && (h.Age > 0) == old &&
				(h.PID > 0) == (kind == "session") && (kind == "" || h.Remedy() != "") &&
				hidden.Kind == kind && hidden.Transaction == h.Transaction && hidden.PID == h.PID
		})
	}
	find("nothing", "", "", "", false)
	session(t, server.URL("other"), "elsewhere", read)
	find("a reader of another database", "", "", "", false)
	writer := session(t, url, "writer", write)
	bump := func() { storetest.Exec(t, url, "UPDATE product SET name = 'y' WHERE id = 2") }
	bump()
	reader := session(t, url, "reader", read)
	find("a writer, which a reader sees open", "session", "writer", "postgres", true)
	writer.Close(t.Context())
	find("the reader alone", "session", "reader", "postgres", true)
	reader.Close(t.Context())
	find("nothing again", "", "", "", false)
	far := session(t, server.URL("other"), "far", "CREATE TABLE a (id int)", "BEGIN; INSERT INTO a VALUES (1)")
	bump()
	find("a writer of another database", "session", "far", "other", true)
	far.Close(t.Context())
	session(t, url, "preparer", write, "PREPARE TRANSACTION 'it''s'").Close(t.Context())
	bump()
	find("a prepared transaction", "prepared transaction", "it's", "postgres", true)
	storetest.Exec(t, url, "ROLLBACK PREPARED 'it''s'")
	if h, err := feed.FindHolder(t.Context(), all); err != nil || h.Age > time.Hour {
		t.Errorf("%+v, %v", h, err)
	}
}
