package postgres_test

import (
	"errors"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/postgres"
	"github.com/stokerhq/stoker/store/storetest"
)

func now(t *testing.T, s *postgres.Source) store.Snapshot {
	t.Helper()
	at, err := s.Now(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// The clock goes on with each commit, not with the start of a transaction, and a
// transaction that goes on does not hold it up. Broken by: xmax or xmin alone.
func TestClockGoesOnWithCommits(t *testing.T) {
	server := storetest.OwnPostgres(t, "autovacuum = off")
	s := open(t, server.URL("postgres"))
	storetest.Exec(t, server.URL("postgres"), "CREATE TABLE c (id int)")
	begin := func() *pgx.Conn {
		conn, err := pgx.Connect(t.Context(), server.URL("postgres"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close(t.Context()) })
		for _, sql := range []string{"BEGIN", "INSERT INTO c VALUES (1)"} {
			if _, err := conn.Exec(t.Context(), sql); err != nil {
				t.Fatal(err)
			}
		}
		return conn
	}
	end := func(conn *pgx.Conn, how string) {
		if _, err := conn.Exec(t.Context(), how); err != nil {
			t.Fatal(err)
		}
	}
	c0 := now(t, s)
	if again := now(t, s); again != c0 {
		t.Errorf("nothing happened between %+v and %+v", c0, again)
	}
	older, younger := begin(), begin()
	if at := now(t, s); at.Clock != c0.Clock {
		t.Errorf("nothing was committed, and the clock went from %d to %d", c0.Clock, at.Clock)
	}
	end(younger, "COMMIT")
	c1 := now(t, s)
	end(older, "COMMIT")
	c2 := now(t, s)
	aborted := begin()
	end(aborted, "ROLLBACK")
	c3 := now(t, s)
	if !(c0.Clock < c1.Clock && c1.Clock < c2.Clock && c2.Clock <= c3.Clock) {
		t.Errorf("clocks %d, %d, %d, %d are not in order", c0.Clock, c1.Clock, c2.Clock, c3.Clock)
	}
	if c0.Origin != c3.Origin || c0.Origin == "" {
		t.Errorf("origins %q and %q", c0.Origin, c3.Origin)
	}
}

// A standby's snapshots are refused; once it is promoted, its history is another
// one. So is that of a server that was started again.
func TestHistories(t *testing.T) {
	server := storetest.OwnPostgres(t, "autovacuum = off")
	url := server.URL("postgres")
	storetest.Exec(t, url, "CREATE TABLE c AS SELECT 1 AS id")
	j := job(t, "SELECT id FROM c", "c:{id}")
	var origins []string
	remember := func(when string) {
		t.Helper()
		origin := now(t, open(t, url)).Origin
		for _, other := range origins {
			if store.SameHistory(origin, other) {
				t.Errorf("%s, the origin is %q, and before it was %q", when, origin, other)
			}
		}
		origins = append(origins, origin)
	}
	again := func() {
		t.Helper()
		server.Stop()
		if err := server.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	remember("at first")
	again()
	remember("after a restart")
	server.Kill() // an immediate shutdown
	again()
	remember("after a shutdown without a checkpoint")

	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	var dir string
	if err := conn.QueryRow(t.Context(), "SHOW data_directory").Scan(&dir); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), "COPY (SELECT 1 WHERE false) TO '"+dir+"/standby.signal'"); err != nil {
		t.Fatal(err)
	}
	conn.Close(t.Context())
	again()
	s := open(t, url)
	_, nowErr := s.Now(t.Context())
	_, runErr := run(t, s, j)
	_, _, refreshErr := refresh(t, s, j, jobs.Key{"id": "1"})
	for _, err := range []error{nowErr, runErr, refreshErr} {
		if !errors.Is(err, postgres.ErrStandby) || store.Permanent(err) {
			t.Errorf("on a standby: %v", err)
		}
	}
	storetest.Exec(t, url, "SELECT pg_promote()")
	remember("after a promotion")
	if rows, err := run(t, s, j); err != nil || len(rows) != 1 {
		t.Errorf("on the promoted one: %v, %v", rows, err)
	}
}
