package postgres_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/postgres"
	"github.com/stokerhq/stoker/store/storetest"
)

func meteredSource(t *testing.T, url string) *postgres.Source {
	t.Helper()
	s, err := postgres.Open(jobs.Postgres{URL: jobs.NewSecret(url), MaxConnections: 2, StatementTimeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// A quick query of many rows may be written for longer than statement_timeout: of the spec, of the role, of the
// database or of the URL. Broken by: a limit of the server on a statement that waits for its reader.
func TestSlowReaderIsNoSlowQuery(t *testing.T) {
	t.Parallel()
	url := storetest.Postgres(t)
	_, path, _ := strings.Cut(url, "//")
	path = path[strings.Index(path, "/")+1:]
	name, _, _ := strings.Cut(path, "?")
	storetest.Exec(t, url, "ALTER DATABASE "+name+" SET statement_timeout = '900ms'")
	j := job(t, "SELECT i AS x, repeat('x', 200) AS pad FROM generate_series(1, 100000) i", "x")
	j.Timeout = time.Minute
	rows := 0
	err := meteredSource(t, url).Run(t.Context(), j, func(r *store.Reading) error {
		for _, err := range r.Rows {
			if err != nil {
				return err
			}
			if rows++; rows%20000 == 0 {
				time.Sleep(700 * time.Millisecond) // Redis is slow
			}
		}
		return nil
	})
	if err != nil || rows != 100000 {
		t.Errorf("%d rows, %v", rows, err)
	}
}

// A query that works for longer is ended, before its first row, between rows, and at a locked table; and Postgres ends
// with it. Broken by: no limit on what Postgres works.
func TestSlowQueryIsEnded(t *testing.T) {
	t.Parallel()
	url := storetest.Postgres(t)
	s := meteredSource(t, url)
	for _, query := range []string{
		"SELECT pg_sleep(60)::text AS x",
		"SELECT i AS x, pg_sleep(0.2)::text FROM generate_series(1, 500) i",
		"SELECT count(*) AS x FROM generate_series(1, 100000) a, generate_series(1, 100000) b",
	} {
		j := job(t, query, "x")
		j.Timeout = time.Minute
		began := time.Now()
		_, err := run(t, s, j)
		q, is := errors.AsType[*store.QueryError](err)
		if !is || q.SQLState != "57014" || !strings.Contains(err.Error(), "raise postgres.statement_timeout") {
			t.Errorf("%s: %v", query, err)
		}
		if took := time.Since(began); took < 900*time.Millisecond || took > 20*time.Second {
			t.Errorf("%s: ended after %s", query, took)
		}
	}
	deadline := time.Now().Add(20 * time.Second)
	for {
		row, err := s.Row(t.Context(), "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND "+
			"state = 'active' AND pid <> pg_backend_pid()")
		if err != nil {
			t.Fatal(err)
		}
		if row[0] == "0" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s queries go on", row[0])
		}
		time.Sleep(50 * time.Millisecond)
	}
}
