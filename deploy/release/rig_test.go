package main

import (
	"bytes"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stokerhq/stoker/store/testserver"
)

const testSpec = `postgres: {url: "${DATABASE_URL}"}
redis: {url: "${REDIS_URL}"}
admin: {listen: "${LISTEN}"}
jobs:
  - name: one
    query: SELECT i AS id, 'value ' || i AS name FROM generate_series(1, 100) i
    key: "one:{id}"
    schedule: "@every 1h"
`

// servers starts a private Postgres and Redis and returns the environment that leads to them.
func servers(t *testing.T) (env []string, listen string) {
	t.Helper()
	pg, err := testserver.StartPostgres(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { check(t, pg.Close()) })
	rd, err := testserver.StartRedis(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { check(t, rd.Close()) })
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listen = l.Addr().String()
	check(t, l.Close())
	return []string{"DATABASE_URL=" + pg.URL("postgres"), "REDIS_URL=" + rd.URL(0), "LISTEN=" + listen}, listen
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Error(err)
	}
}

// daemon is a process that is ended with the test.
type daemon struct {
	t    *testing.T
	cmd  *exec.Cmd
	out  *output
	done chan struct{}
}

// output is a buffer that a process writes while the test reads it.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// needsRoot skips where a process cannot be given a root of its own: without root, or in a sandbox that allows neither
// mounts nor devices.
func needsRoot(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("a root of its own needs root; the continuous integration has it")
	}
	if out, err := exec.Command("unshare", "--mount", "true").CombinedOutput(); err != nil {
		t.Skipf("this sandbox allows no mounts, so nothing can be run in a root of its own: %v %s", err, out)
	}
	null := filepath.Join(t.TempDir(), "null")
	if out, err := exec.Command("mknod", null, "c", "1", "3").CombinedOutput(); err != nil {
		t.Skipf("this sandbox allows no devices, so nothing can be run in a root of its own: %v %s", err, out)
	}
}

// startIn starts a program in a root of its own that it cannot write to, as a user who owns nothing.
func startIn(t *testing.T, root string, uid int, env []string, argv ...string) *daemon {
	t.Helper()
	needsRoot(t)
	// setpriv is the system's own: it is gone once the root has changed, so it is run before, and unshare keeps the
	// mount of this process from the machine.
	script := `set -e; mount --bind "$0" "$0"; mount -o remount,bind,ro "$0"; uid=$1; shift
exec chroot --userspec="$uid:$uid" "$0" "$@"`
	cmd := exec.Command("unshare", append([]string{"--mount", "sh", "-c", script, root, itoa(uid)}, argv...)...)
	cmd.Env = env
	d := &daemon{t: t, cmd: cmd, out: &output{}, done: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = d.out, d.out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { _ = cmd.Wait(); close(d.done) }()
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended
		<-d.done
		if t.Failed() {
			t.Logf("%v:\n%s", argv, d.out)
		}
	})
	return d
}

// end waits for the process' own end and returns its exit status.
func (d *daemon) end() int {
	d.t.Helper()
	select {
	case <-d.done:
	case <-time.After(time.Minute):
		d.t.Fatal("it does not end")
	}
	return d.cmd.ProcessState.ExitCode()
}

// stop asks the process to end in order.
func (d *daemon) stop() int {
	d.t.Helper()
	if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		d.t.Fatal(err)
	}
	return d.end()
}

// awaitReady waits until /readyz answers.
func (d *daemon) awaitReady(listen string) {
	d.t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		resp, err := http.Get("http://" + listen + "/readyz")
		if err == nil {
			check(d.t, resp.Body.Close())
			if resp.StatusCode == http.StatusOK {
				return
			}
		}
		select {
		case <-d.done:
			d.t.Fatalf("it ended: %s", d.out)
		default:
		}
		if time.Now().After(deadline) {
			d.t.Fatalf("not ready: %v", err)
		}
	}
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// command runs a program to its end.
func command(t *testing.T, name string, arg ...string) string {
	t.Helper()
	out, err := exec.Command(name, arg...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(arg, " "), err, out)
	}
	return string(out)
}
