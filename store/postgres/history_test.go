package postgres_test

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/postgres"
	"github.com/stokerhq/stoker/store/storetest"
	"github.com/stokerhq/stoker/store/testserver"
)

// Monitoring resets statistics. Broken by: a statistic as a sign.
func TestResetOfStatisticsIsNoOtherHistory(t *testing.T) {
	t.Parallel()
	for _, version := range storetest.Versions {
		t.Run(fmt.Sprint(version), func(t *testing.T) {
			t.Parallel()
			resetStatistics(t, storetest.OwnPostgresOf(t, version))
		})
	}
}

func resetStatistics(t *testing.T, server *testserver.Postgres) {
	t.Helper()
	url := server.URL("postgres")
	s := open(t, url)
	before := now(t, s)
	resets := []string{"SELECT pg_stat_reset()", "SELECT pg_stat_reset_slru(NULL)",
		"SELECT pg_stat_reset_single_table_counters('pg_class'::regclass)", "SELECT pg_reload_conf()", "CHECKPOINT",
		"SELECT pg_switch_wal()", "ALTER SYSTEM SET autovacuum = off", "SELECT pg_reload_conf()"}
	for _, target := range []string{"bgwriter", "archiver", "wal", "checkpointer", "io", "slru", "recovery_prefetch"} {
		resets = append(resets, "SELECT pg_stat_reset_shared('"+target+"')")
	}
	for _, sql := range resets {
		if err := execute(t, url, sql); err != nil && !strings.Contains(err.Error(), "unrecognized reset target") {
			t.Fatal(err)
		}
	}
	time.Sleep(time.Second) // statistics and settings take effect a moment later
	for _, at := range []store.Snapshot{now(t, s), now(t, open(t, url))} {
		if !store.SameHistory(before.Origin, at.Origin) {
			t.Errorf("the origin went from %q to %q", before.Origin, at.Origin)
		}
	}
}

func execute(t *testing.T, url, sql string) error {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	_, err = conn.Exec(t.Context(), sql)
	return err
}

// crash kills one process of the server, which then recovers by itself.
func crash(t *testing.T, server *testserver.Postgres, backend string) {
	t.Helper()
	url := server.URL("postgres")
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	pid := conn.PgConn().PID()
	if backend != "own session" {
		if err := conn.QueryRow(t.Context(), "SELECT pid FROM pg_stat_activity WHERE backend_type = $1",
			backend).Scan(&pid); err != nil {
			t.Fatal(err)
		}
	}
	postmaster := server.PID()
	if err := syscall.Kill(int(pid), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if server.PID() != postmaster {
		t.Error("the server was started anew: nothing is tested")
	}
}

// Broken by: no sign that a crash changes, for any role.
func TestCrashIsAnotherHistory(t *testing.T) {
	t.Parallel()
	for _, version := range storetest.Versions {
		t.Run(fmt.Sprint(version), func(t *testing.T) {
			t.Parallel()
			crashInTurn(t, storetest.OwnPostgresOf(t, version))
		})
	}
}

func crashInTurn(t *testing.T, server *testserver.Postgres) {
	t.Helper()
	storetest.Exec(t, server.URL("postgres"), "CREATE ROLE reader LOGIN PASSWORD 'secret'")
	for _, victim := range []string{"own session", "checkpointer", "background writer", "walwriter"} {
		admin, reader := open(t, server.URL("postgres")), open(t, as(t, server, "reader"))
		before := []store.Snapshot{now(t, admin), now(t, reader)}
		crash(t, server, victim)
		for i, s := range []*postgres.Source{admin, reader, open(t, as(t, server, "reader"))} {
			was := before[min(i, 1)].Origin
			deadline := time.Now().Add(40 * time.Second)
			for {
				at, err := s.Now(t.Context())
				if err == nil && !store.SameHistory(was, at.Origin) {
					break
				}
				if time.Now().After(deadline) {
					t.Fatalf("after a crash of %s the origin is %q, it was %q (%v)", victim, at.Origin, was, err)
				}
				time.Sleep(50 * time.Millisecond)
			}
		}
		if a, b := now(t, admin).Origin, now(t, reader).Origin; !store.SameHistory(a, b) {
			t.Errorf("two roles see the origins %q and %q", a, b)
		}
	}
}

// as is the URL of another role.
func as(t *testing.T, server *testserver.Postgres, role string) string {
	t.Helper()
	_, address, _ := strings.Cut(server.URL("postgres"), "@")
	return "postgres://" + role + ":secret@" + address
}

// Broken by: a sign that must be readable; a right that is taken back or given while
// Stoker runs, and taken for another history.
func TestRefusedSigns(t *testing.T) {
	t.Parallel()
	server := storetest.OwnPostgres(t)
	url := server.URL("postgres")
	storetest.Exec(t, url, "CREATE ROLE reader LOGIN PASSWORD 'secret'", "CREATE TABLE c AS SELECT 1 AS id",
		"GRANT SELECT ON c TO reader")
	s := open(t, as(t, server, "reader"))
	j := job(t, "SELECT id FROM c", "c:{id}")
	all := now(t, s).Origin
	if message, err := s.Unnoticed(t.Context()); err != nil || message != "" {
		t.Errorf("nothing is refused: %q, %v", message, err)
	}
	for _, step := range []struct {
		functions string
		says      []string
	}{
		{"pg_control_system()", []string{"denied for function pg_control_system", "still noticed",
			"GRANT EXECUTE ON FUNCTION pg_control_system() TO reader"}},
		{"pg_current_wal_lsn(), pg_walfile_name(pg_lsn)", []string{"still noticed",
			"pg_walfile_name(pg_lsn), pg_current_wal_lsn() TO reader"}},
		{"pg_postmaster_start_time()", []string{"a restart of Postgres", "a failover", "another or a restored server",
			"may go unnoticed", "pg_postmaster_start_time() TO reader"}},
		{"pg_stat_get_backend_idset()", []string{"a crash that Postgres recovers from"}},
	} {
		storetest.Exec(t, url, "REVOKE EXECUTE ON FUNCTION "+step.functions+" FROM PUBLIC")
		if rows, err := run(t, s, j); err != nil || len(rows) != 1 {
			t.Errorf("%s is refused from now on, a run: %v, %v", step.functions, rows, err)
		}
		at, err := s.Now(t.Context()) // the right is taken back while the source is open
		if err != nil || !store.SameHistory(all, at.Origin) {
			t.Errorf("without %s: origin %q, %v", step.functions, at.Origin, err)
		}
		if rows, err := run(t, s, j); err != nil || len(rows) != 1 {
			t.Errorf("without %s, a run: %v, %v", step.functions, rows, err)
		}
		fresh := open(t, as(t, server, "reader"))
		if rows, err := run(t, fresh, j); err != nil || len(rows) != 1 {
			t.Errorf("without %s, a run: %v, %v", step.functions, rows, err)
		}
		message, err := fresh.Unnoticed(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, part := range step.says {
			if !strings.Contains(message, part) {
				t.Errorf("without %s it is not said %q: %s", step.functions, part, message)
			}
		}
	}
	storetest.Exec(t, url, "GRANT EXECUTE ON FUNCTION pg_control_system() TO reader")
	if at := now(t, open(t, as(t, server, "reader"))); at.Clock == 0 || !store.SameHistory(all, at.Origin) {
		t.Errorf("granted again: %+v, it was %q", at, all)
	}
	storetest.Exec(t, url, "REVOKE EXECUTE ON FUNCTION pg_current_snapshot() FROM PUBLIC")
	_, err := s.Now(t.Context())
	if err == nil || !strings.Contains(err.Error(), "GRANT EXECUTE ON FUNCTION pg_current_snapshot") {
		t.Errorf("without snapshots: %v", err)
	}
}

// A server that has a function, and fails when it is called, as Aurora may. Broken by:
// looking only at the right to call it.
func TestSignsThatFail(t *testing.T) {
	t.Parallel()
	server := storetest.OwnPostgres(t)
	url := server.URL("postgres")
	storetest.Exec(t, url, "CREATE TABLE c AS SELECT 1 AS id")
	for _, f := range []string{"pg_current_wal_lsn() RETURNS pg_lsn", "pg_postmaster_start_time() RETURNS timestamptz",
		"pg_stat_get_backend_pid(integer) RETURNS integer",
		"pg_control_system() RETURNS TABLE (system_identifier bigint)"} {
		signature, _, _ := strings.Cut(f, " RETURNS")
		name, _, _ := strings.Cut(f, "(")
		storetest.Exec(t, url, "ALTER FUNCTION pg_catalog."+signature+" RENAME TO replaced_"+name[3:],
			"CREATE FUNCTION pg_catalog."+f+" STABLE LANGUAGE plpgsql AS "+
				"$$BEGIN RAISE EXCEPTION '"+name+" is not supported here' USING ERRCODE = '0A000'; END$$")
	}
	s := open(t, url)
	if rows, err := run(t, s, job(t, "SELECT id FROM c", "c:{id}")); err != nil || len(rows) != 1 {
		t.Errorf("a run: %v, %v", rows, err)
	}
	if at := now(t, s); at.Clock == 0 {
		t.Errorf("%+v", at)
	}
	message, err := s.Unnoticed(t.Context())
	if err != nil || strings.Contains(message, "GRANT") ||
		!strings.Contains(message, "pg_postmaster_start_time is not supported here") ||
		!strings.Contains(message, "a crash that Postgres recovers from") {
		t.Errorf("%q, %v", message, err)
	}
}
