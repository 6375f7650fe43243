// Package storetest is what tests of this project stand on: private servers
// shared by a test process, and the conformance suite that the real stores and
// the in-memory fakes both pass. Only tests import it.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	"github.com/stokerhq/stoker/store/testserver"
)

var (
	postgres = sync.OnceValues(func() (*testserver.Postgres,
		error) {
		return testserver.StartPostgres(context.Background())
	})
	postgres18 = sync.OnceValues(func() (*testserver.Postgres, error) {
		bin, err := testserver.FindPostgres(18)
		if err != nil {
			return nil, err
		}
		return testserver.StartPostgresIn(context.Background(), bin)
	})
	redis = sync.OnceValues(func() (*testserver.Redis, error) { return testserver.StartRedis(context.Background()) })

	used struct {
		sync.Mutex
		close []func() error
	}
	databases, redisDBs atomic.Int64
)

// Main runs the tests of a package, stops the private servers they used, and
// then fails the package if a goroutine was left behind.
func Main(m *testing.M) {
	testserver.KeepTemplates()
	code := m.Run()
	used.Lock()
	defer used.Unlock()
	var err error
	for _, stop := range used.close {
		err = errors.Join(err, stop())
	}
	if err == nil && code == 0 {
		// A pool of go-redis whose server is gone looks once a second whether it was closed.
		err = goleak.Find(goleak.IgnoreAnyFunction("github.com/redis/go-redis/v9/internal/pool.(*ConnPool).tryDial"))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "storetest:", err)
		code = max(code, 1)
	}
	os.Exit(code)
}

// Postgres returns the URL of a fresh database on the private Postgres of this
// test process, which is started on first use.
func Postgres(t testing.TB) string {
	t.Helper()
	p, err := postgres()
	if err != nil {
		t.Fatal(err)
	}
	closeOnce("postgres", p.Close)
	name := fmt.Sprintf("t%d", databases.Add(1))
	Exec(t, p.URL("postgres"), "CREATE DATABASE "+name)
	return p.URL(name)
}

// Postgres18 returns the URL of a fresh database on a private Postgres 18, as Postgres does. Where its programs are
// not installed the test is skipped; in continuous integration, where CI is set, it fails.
func Postgres18(t testing.TB) string {
	t.Helper()
	p, err := postgres18()
	if _, missing := errors.AsType[*testserver.MissingError](err); missing && os.Getenv("CI") == "" {
		fmt.Fprintf(os.Stderr, "SKIPPED: %s: %v\n", t.Name(), err)
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	closeOnce("postgres18", p.Close)
	name := fmt.Sprintf("t%d", databases.Add(1))
	Exec(t, p.URL("postgres"), "CREATE DATABASE "+name)
	return p.URL(name)
}

// OwnPostgres starts a Postgres for one test, which may stop or kill it. Settings
// are as for testserver.StartPostgres.
func OwnPostgres(t testing.TB, settings ...string) *testserver.Postgres {
	t.Helper()
	server, err := testserver.StartPostgres(context.Background(), settings...)
	if err != nil {
		t.Fatal(err)
	}
	closeAfter(t, server)
	return server
}

// Versions are the Postgres versions that a test of another version's behaviour runs on: 0
// is the newest that packages have installed.
var Versions = []int{0, 18}

// OwnPostgresOf is OwnPostgres of one of Versions. Where it is not installed the test is
// skipped; in continuous integration, where CI is set, it fails.
func OwnPostgresOf(t testing.TB, version int, settings ...string) *testserver.Postgres {
	t.Helper()
	if version == 0 {
		return OwnPostgres(t, settings...)
	}
	bin, err := testserver.FindPostgres(version)
	if _, missing := errors.AsType[*testserver.MissingError](err); missing && os.Getenv("CI") == "" {
		fmt.Fprintf(os.Stderr, "SKIPPED: %s: %v\n", t.Name(), err)
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	server, err := testserver.StartPostgresIn(context.Background(), bin, settings...)
	if err != nil {
		t.Fatal(err)
	}
	closeAfter(t, server)
	return server
}

// OwnRedis starts a Redis for one test, which may change or kill it. Arguments are
// as for testserver.StartRedis.
func OwnRedis(t testing.TB, args ...string) *testserver.Redis {
	t.Helper()
	server, err := testserver.StartRedis(context.Background(), args...)
	if err != nil {
		t.Fatal(err)
	}
	closeAfter(t, server)
	return server
}

// OwnSentinel starts a Sentinel of this test's own; see testserver.StartSentinel.
func OwnSentinel(t testing.TB, master *testserver.Redis, quorum int) *testserver.Sentinel {
	t.Helper()
	server, err := testserver.StartSentinel(context.Background(), master, quorum)
	if err != nil {
		t.Fatal(err)
	}
	closeAfter(t, server)
	return server
}

func closeAfter(t testing.TB, server interface{ Close() error }) {
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
}

// Redis returns the URL of an empty logical database on the private Redis of
// this test process, which is started on first use.
func Redis(t testing.TB) string {
	t.Helper()
	r, err := redis()
	if err != nil {
		t.Fatal(err)
	}
	closeOnce("redis", r.Close)
	return r.URL(int(redisDBs.Add(1) - 1))
}

// Exec runs SQL statements on a database, each in its own transaction.
func Exec(t testing.TB, url string, statements ...string) {
	t.Helper()
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	for _, s := range statements {
		if _, err := conn.Exec(ctx, s); err != nil {
			t.Fatalf("%v\nin: %s", err, strings.TrimSpace(s))
		}
	}
}

// AtEnd has stop called when the package's tests are over.
func AtEnd(stop func() error) {
	used.Lock()
	defer used.Unlock()
	used.close = append(used.close, stop)
}

var closing sync.Map

func closeOnce(name string, stop func() error) {
	if _, again := closing.LoadOrStore(name, true); !again {
		AtEnd(stop)
	}
}

// checkpointer is the process of the server that a recovery replaces; 0 while there is none.
func checkpointer(ctx context.Context, server *testserver.Postgres) (pid int, err error) {
	conn, err := pgx.Connect(ctx, server.URL("postgres"))
	if err != nil {
		return 0, err
	}
	defer conn.Close(ctx)
	err = conn.QueryRow(ctx, "SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'").Scan(&pid)
	return pid, err
}

// Crash kills a session of the server, and waits until the server has recovered by itself.
func Crash(t testing.TB, server *testserver.Postgres) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), server.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	before, err := checkpointer(t.Context(), server)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(int(conn.PgConn().PID()), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	// A server that has not noticed the crash yet takes connections, to end them a moment later.
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if now, err := checkpointer(t.Context(), server); err == nil && now != before {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("postgres does not recover from a crash")
		}
	}
}
