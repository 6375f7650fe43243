package main

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/storetest"
	"github.com/stokerhq/stoker/store/testserver"
)

const rotateSpec = `postgres: {url_file: secrets/postgres, max_connections: 4}
redis:
  url: "redis://stoker@${REDIS}/0?conn_max_lifetime=1s"
  password_file: ${CREDENTIALS_DIRECTORY}/redis
  queue_url_file: ${CREDENTIALS_DIRECTORY}/queue
  queue_password_file: ${CREDENTIALS_DIRECTORY}/redis
admin: {listen: "${LISTEN}", token_file: secrets/token}
changes: {source: wal}
jobs:
  - {name: a, query: "SELECT id, v FROM item", key: "a:{id}", schedule: "@every 1s", ttl: 1h, volatile: true,
     watch: [{table: item, key: {id: id}}]}
`

// rotation is a Postgres and a Redis whose passwords are replaced, and the files that have them.
type rotation struct {
	t        *testing.T
	postgres *testserver.Postgres
	admin    *redis.Client
	dir      string
	number   int
}

func (r *rotation) password() string { return fmt.Sprintf("pass/%d@?#%%&= xyzzy", r.number) }

func (r *rotation) write(name, text string) {
	r.t.Helper()
	path := filepath.Join(r.dir, "secrets", name)
	if err := os.WriteFile(path+".new", []byte(text+"\n"), 0o600); err != nil {
		r.t.Fatal(err)
	}
	if r.number%3 == 2 { // as when a folder of secrets is replaced and not swapped
		_ = os.Remove(path)
		time.Sleep(50 * time.Millisecond)
	}
	if err := os.Rename(path+".new", path); err != nil {
		r.t.Fatal(err)
	}
}

// next replaces both passwords, the files before or after what the servers take, and cuts connections that rest.
func (r *rotation) next() {
	r.t.Helper()
	r.number++
	files := func() {
		u := url.URL{Scheme: "postgres", User: url.UserPassword("app", r.password()), Host: r.postgres.Addr(),
			Path: "/postgres", RawQuery: "sslmode=disable&pool_max_conn_lifetime=1s"}
		r.write("postgres", u.String())
		r.write("redis", r.password())
	}
	if r.number%2 == 1 {
		files()
		time.Sleep(100 * time.Millisecond)
	}
	storetest.Exec(r.t, r.postgres.URL("postgres"), "ALTER ROLE app PASSWORD '"+r.password()+"'")
	if err := r.admin.Do(r.t.Context(), "ACL", "SETUSER", "stoker", "on", "resetpass", ">"+r.password(), "~*", "&*",
		"+@all").Err(); err != nil {
		r.t.Fatal(err)
	}
	if r.number%2 == 0 {
		time.Sleep(100 * time.Millisecond)
		files()
	}
	storetest.Exec(r.t, r.postgres.URL("postgres"), `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
		WHERE usename = 'app' AND (backend_type = 'walsender' OR state = 'idle' AND state_change < now() - interval '1.5s')`)
	for line := range strings.Lines(r.admin.ClientList(r.t.Context()).Val()) {
		var id, idle int64
		for word := range strings.FieldsSeq(line) {
			_, _ = fmt.Sscanf(word, "id=%d", &id)
			_, _ = fmt.Sscanf(word, "idle=%d", &idle)
		}
		if idle >= 1 && strings.Contains(line, " user=stoker ") {
			r.admin.ClientKillByFilter(r.t.Context(), "ID", fmt.Sprint(id))
		}
	}
}

// Both passwords are replaced again and again while ticks, the change feed and commands go on, file first or server
// first, with files that are missing for a moment: no run fails, and changes arrive. Broken by: Next that returns the
// URL of the start (the first rotation ends the runs); Retry that gives up at once; a file that is read once.
func TestPasswordsRotateUnderLoad(t *testing.T) {
	t.Parallel()
	server, rd := storetest.OwnPostgres(t), storetest.OwnRedis(t)
	r := &rotation{t: t, postgres: server, admin: client(t, rd.URL(0)), dir: t.TempDir()}
	storetest.Exec(t, server.URL("postgres"), "CREATE ROLE app LOGIN SUPERUSER",
		"CREATE TABLE item (id int PRIMARY KEY, v int)",
		"INSERT INTO item SELECT i, 0 FROM generate_series(1, 500) i")
	if err := os.MkdirAll(filepath.Join(r.dir, "secrets"), 0o700); err != nil {
		t.Fatal(err)
	}
	r.next()
	r.write("queue", "redis://stoker@"+rd.Addr()+"/3?conn_max_lifetime=1s")
	r.write("token", "a-token-from-a-file-that-is-long")
	spec := filepath.Join(r.dir, "stoker.yaml")
	if err := os.WriteFile(spec, []byte(rotateSpec), 0o600); err != nil {
		t.Fatal(err)
	}
	vars := map[string]string{"REDIS": rd.Addr(), "LISTEN": freeAddress(t),
		"CREDENTIALS_DIRECTORY": filepath.Join(r.dir, "secrets")}
	d := start(t, vars, "run", "--config", spec)
	base := "http://" + vars["LISTEN"]
	eventually(t, 30*time.Second, "the daemon is ready", func() (bool, error) {
		status, _, err := get(t, base+"/readyz")
		return status == 200, err
	})
	const rotations = 6
	for i := range rotations {
		time.Sleep(1200 * time.Millisecond)
		r.next()
		if res := stoker(t, vars, "warm", "a", "--wait", "--config", spec); res.status != 0 {
			t.Errorf("rotation %d: warm: %+v", i, res)
		}
		storetest.Exec(t, server.URL("postgres"), fmt.Sprintf("UPDATE item SET v = %d WHERE id = 7", i+1))
	}
	tasks := client(t, rd.URL(3))
	eventually(t, 30*time.Second, "a tick after the last rotation completes", func() (bool, error) {
		return completedSince(t, tasks, "a", time.Now().Add(-3*time.Second)), nil
	})
	eventually(t, 30*time.Second, "the change feed goes on", func() (bool, error) {
		v := r.admin.Get(t.Context(), "a:7").Val()
		return v == fmt.Sprintf(`{"id":7,"v":%d}`, rotations), nil
	})
	runs := 0
	for _, rec := range records(t, tasks, "a") {
		if runs++; rec.State == store.StateFailed {
			t.Errorf("a run has failed: %s", rec.Error)
		}
	}
	t.Logf("%d rotations, %d runs", rotations, runs)
	if status := d.stop(syscall.SIGTERM); status != 0 {
		t.Errorf("the daemon ended with status %d", status)
	}
	if strings.Contains(d.log.String(), "xyzzy") {
		t.Error("a password is in the log")
	}
}
