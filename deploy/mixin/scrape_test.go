package mixin

import (
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stokerhq/stoker/store/testserver"
)

const spec = `postgres: {url: "${DATABASE_URL}"}
redis: {url: "${REDIS_URL}"}
admin: {listen: "${LISTEN}"}
changes: {CHANGES}
audit: {rate: 10/s}
jobs:
  - name: product
    query: SELECT id, name FROM product
    key: "product:{id}"
    schedule: "@every 1m"
    objective: {age: 60s, ratio: 99.9%}
    watch:
      - {table: product, key: {id: id}}
`

// scrape returns what daemons show at /metrics: one that follows by a permanent slot, and one by the outbox.
func scrape(t *testing.T) string {
	t.Helper()
	binary, err := testserver.BuildStoker(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	pg, err := testserver.StartPostgres(t.Context(), "wal_level=logical")
	if err != nil {
		t.Fatal(err)
	}
	defer closed(t, pg.Close)
	rd, err := testserver.StartRedis(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer closed(t, rd.Close)
	shell, err := pg.Shell(t.Context(), "postgres")
	if err != nil {
		t.Fatal(err)
	}
	defer shell.Close()
	if _, err := shell.Exec("CREATE TABLE product (id int PRIMARY KEY, name text); INSERT INTO product VALUES (1, 'a');"); err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for i, changes := range []string{"source: wal, slot: permanent, unbounded_wal: true", "source: outbox"} {
		dir := t.TempDir()
		file := filepath.Join(dir, "stoker.yaml")
		if err := os.WriteFile(file, []byte(strings.Replace(spec, "CHANGES", changes, 1)), 0o600); err != nil {
			t.Fatal(err)
		}
		env := append(os.Environ(), "DATABASE_URL="+pg.URL("postgres"), "REDIS_URL="+rd.URL(i), "LISTEN="+freeAddress(t))
		all.WriteString(metricsOf(t, binary, file, env))
	}
	return all.String()
}

// metricsOf runs a daemon until its state is exported and its feed is followed, and stops it.
func metricsOf(t *testing.T, binary, file string, env []string) string {
	t.Helper()
	install := exec.CommandContext(t.Context(), binary, "--config", file, "changes", "install", "--apply")
	install.Env = env
	if out, err := install.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	cmd := exec.Command(binary, "--config", file, "run")
	cmd.Env = env
	var log strings.Builder
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Error(err)
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("the daemon ended with %v:\n%s", err, log.String())
		}
	}()
	listen := strings.TrimPrefix(env[len(env)-1], "LISTEN=")
	var text string
	refreshed := false
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); time.Sleep(200 * time.Millisecond) {
		resp, err := http.Get("http://" + listen + "/metrics")
		if err != nil {
			continue
		}
		if !refreshed { // histograms of refreshes begin with the first one
			invalidate := exec.CommandContext(t.Context(), binary, "--config", file, "invalidate", "product", "id=1", "--wait")
			invalidate.Env = env
			refreshed = invalidate.Run() == nil
		}
		b, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if text = string(b); err == nil && refreshed && strings.Contains(text, "\nstoker_job_warm_ratio{") &&
			strings.Contains(text, "\nstoker_job_objective_oldest_seconds{") &&
			strings.Contains(text, "\nstoker_job_objective_burn_rate{") &&
			strings.Contains(text, "\nstoker_changes_following 1\n") {
			return text
		}
	}
	t.Fatalf("the daemon does not show its state:\n%s", text)
	return ""
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer closed(t, l.Close)
	return l.Addr().String()
}

func closed(t *testing.T, do func() error) {
	t.Helper()
	if err := do(); err != nil {
		t.Error(err)
	}
}
