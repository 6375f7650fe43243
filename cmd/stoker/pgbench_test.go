package main

import (
	"context"
	"fmt"
	"os/exec"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"

	"github.com/stokerhq/stoker/store/testserver"
)

const pgbenchSpec = `
postgres: {url: "${PG}"}
redis: {url: "${RD}"}
admin: {listen: "${LISTEN}"}
jobs:
  - name: account
    query: SELECT * FROM pgbench_accounts
    key: "account:{aid}"
    ttl: 1h
`

// memoryLimit is what a daemon may take, whatever the size of a result, and less than this result's values beside an
// idle daemon. The peak has the pages of the binary in it, some 25 MB, and varies with when memory is collected: 90 to
// 99 MB were measured in four runs of three builds.
const memoryLimit = 128 << 20

// pgbench's own tables, a million rows, kept warm while pgbench writes to them.
func TestPgbench(t *testing.T) {
	const scale, accounts = 10, 1_000_000
	server, err := testserver.StartPostgres(t.Context(), "shared_buffers = 256MB")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	store, err := testserver.StartRedis(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	bench := func(ctx context.Context, args ...string) *exec.Cmd {
		program, err := server.Program("pgbench")
		if err != nil {
			t.Fatal(err)
		}
		return exec.CommandContext(ctx, program, append(args, server.URL("postgres"))...)
	}
	if out, err := bench(t.Context(), "-i", "-q", "-s", fmt.Sprint(scale)).CombinedOutput(); err != nil {
		t.Fatalf("pgbench -i: %v\n%s", err, out)
	}

	vars := map[string]string{"PG": server.URL("postgres"), "RD": store.URL(0), "LISTEN": freeAddress(t)}
	spec := specFile(t, pgbenchSpec)
	writer := bench(t.Context(), "-c", "4", "-T", "20", "-n")
	if err := writer.Start(); err != nil {
		t.Fatal(err)
	}
	daemon := start(t, vars, "run", "--config", spec)
	// The job has never run: the daemon runs it once by itself, while pgbench
	// writes. Then it is warmed on demand, still beside the writer.
	c := client(t, store.URL(0))
	eventually(t, 2*time.Minute, "the first run completes", func() (bool, error) {
		n, err := c.LLen(t.Context(), "stoker:runs:account").Result()
		return n > 0, err
	})
	if r := stoker(t, vars, "warm", "account", "--wait", "--config", spec); r.status != 0 {
		t.Fatalf("warm beside the writer: status %d\n%s%s", r.status, r.stdout, r.stderr)
	}
	if err := writer.Wait(); err != nil {
		t.Fatalf("pgbench: %v", err)
	}
	r := stoker(t, vars, "warm", "account", "--wait", "--config", spec)
	if r.status != 0 {
		t.Fatalf("warm after the writer: status %d\n%s%s", r.status, r.stdout, r.stderr)
	}
	t.Logf("last run: %s", r.stdout)
	compareAccounts(t, server.URL("postgres"), c, accounts)

	if runtime.GOOS == "linux" {
		peak := daemon.peakMemory()
		t.Logf("peak memory of the daemon: %.1f MB", float64(peak)/(1<<20))
		if peak > memoryLimit {
			t.Errorf("peak memory %d MB, want at most %d MB", peak>>20, memoryLimit>>20)
		}
	}
	if status := daemon.stop(syscall.SIGTERM); status != 0 {
		t.Errorf("the daemon ended with status %d", status)
	}
}

// compareAccounts holds every key against Postgres' own row_to_json.
func compareAccounts(t *testing.T, url string, c *redis.Client, want int) {
	t.Helper()
	ctx := t.Context()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	rows, err := conn.Query(ctx, "SELECT 'account:' || aid, row_to_json(a)::text FROM pgbench_accounts a")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var keys, values []string
	seen, wrong := 0, 0
	compare := func() {
		got, err := c.MGet(ctx, keys...).Result()
		if err != nil {
			t.Fatal(err)
		}
		for i := range keys {
			if got[i] != values[i] {
				if wrong++; wrong < 5 {
					t.Errorf("%s: %v, want %s", keys[i], got[i], values[i])
				}
			}
		}
		seen += len(keys)
		keys, values = keys[:0], values[:0]
	}
	for rows.Next() {
		var key, value string
		if err := rows.Scan(&key, &value); err != nil {
			t.Fatal(err)
		}
		keys, values = append(keys, key), append(values, value)
		if len(keys) == 2000 {
			compare()
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	if len(keys) > 0 {
		compare()
	}
	if seen != want || wrong > 0 {
		t.Errorf("%d of %d keys are wrong, want 0 of %d", wrong, seen, want)
	}
}
