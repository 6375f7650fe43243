package main

import (
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stokerhq/stoker/store/storetest"
)

const hangupSpec = `postgres: {url: "${PG}"}
redis: {url: "${RD}"}
admin: {listen: "${LISTEN}"}
jobs:
  - {name: slow, key: "s:{id}", query: "SELECT i AS id, pg_sleep(0.02)::text || repeat('x', 4000) AS nap FROM generate_series(1, 1000) i"}
`

// nohup returns a command that a shell starts with SIGHUP ignored, as nohup does.
func nohup(path string, args ...string) *exec.Cmd {
	return exec.Command("/bin/sh", append([]string{"-c", `trap '' HUP; exec "$0" "$@"`, path}, args...)...)
}

// plain returns a command as a shell starts it.
func plain(path string, args ...string) *exec.Cmd { return exec.Command(path, args...) }

// The terminal is closed; to a daemon, that is to load its spec. Broken by: a daemon that ends, one that was started by
// nohup all the more; a command
// that goes on although nobody sees it, or ends although it was started by nohup.
func TestHangup(t *testing.T) {
	for name, test := range map[string]struct {
		start  func(path string, args ...string) *exec.Cmd
		daemon bool
		logs   string // by then
		ends   int    // exit status; -1: it goes on
	}{
		"a daemon":              {plain, true, "all jobs are as they were\" reason=SIGHUP", -1},
		"a daemon under nohup":  {nohup, true, "stoker is running", -1},
		"a command":             {plain, false, "", 1},
		"a command under nohup": {nohup, false, "", -1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			vars := map[string]string{"PG": storetest.Postgres(t), "RD": storetest.Redis(t), "LISTEN": freeAddress(t)}
			args := []string{"warm", "slow", "--local", "--config", specFile(t, hangupSpec)}
			if test.daemon {
				args = []string{"run", "--config", specFile(t, hangupSpec)}
			}
			p := startCommand(t, test.start(storetest.Stoker(t), args...), vars)
			if test.daemon {
				eventually(t, 30*time.Second, "the daemon is ready", func() (bool, error) {
					status, _, err := get(t, "http://"+vars["LISTEN"]+"/readyz")
					return status == http.StatusOK, err
				})
			}
			c := client(t, vars["RD"])
			eventually(t, 30*time.Second, "the job runs", func() (bool, error) {
				n, err := c.Exists(t.Context(), "stoker:live:slow").Result()
				return n > 0, err
			})
			for range 2 {
				if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil && test.ends < 0 {
					t.Fatal(err)
				}
				time.Sleep(300 * time.Millisecond)
			}
			if test.ends >= 0 {
				// the first stops in order; the second ends what has not stopped by then
				if status := p.wait(20 * time.Second); status != test.ends && status != -1 {
					t.Errorf("it ended with status %d", status)
				}
				return
			}
			select {
			case <-p.done:
				t.Fatal("it has ended")
			case <-time.After(time.Second):
			}
			eventually(t, 10*time.Second, test.logs, func() (bool, error) {
				return strings.Contains(p.log.String(), test.logs), nil
			})
			if status := p.stop(os.Interrupt); test.daemon && status != 0 {
				t.Errorf("it was stopped with status %d", status)
			}
		})
	}
}
