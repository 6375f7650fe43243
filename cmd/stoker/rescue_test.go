package main

import (
	"fmt"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/storetest"
)

// work takes some 5 seconds a run, and 3 a refresh of one key.
const rescueSpec = `postgres: {url: "${PG}"}
redis: {url: "${RD}"}
admin: {listen: "${LISTEN}"}
jobs:
  - {name: ready, key: "r:{id}", query: "SELECT 1 AS id"}
  - {name: work, key: "s:{id}", query: "SELECT id, pg_sleep(nap)::text || repeat('x', 9000) AS nap FROM item", schedule: "0 0 1 1 *"}
`

const slowTable = "SELECT i AS id, 0.02 AS nap FROM generate_series(1, 250) i"

// A single daemon is killed amid the work that a command waits for, and started anew. Broken by: a command that
// waits for Asynq to give the task up, that fails because of it, or that shows no progress.
func TestWaitOutlivesAKilledDaemon(t *testing.T) {
	for name, test := range map[string]struct {
		args  []string
		table string
		lines int    // of progress, at least
		end   string // of the output
		away  time.Duration
	}{
		"a run": {[]string{"warm", "work", "--wait"}, slowTable, 3, "work: 250 keys", 0},
		"a run, and no daemon for a while": {[]string{"warm", "work", "--wait"}, slowTable, 3, "work: 250 keys",
			12 * time.Second},
		"a refresh": {[]string{"invalidate", "work", "id=1", "--wait"}, "SELECT 1 AS id, 3 AS nap", 0,
			"work: 1 keys loaded", 0},
		"a removal of all keys": {[]string{"invalidate", "work", "--all", "--remove", "--wait"}, slowTable, 0,
			"work: 250 keys removed", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			vars := map[string]string{"PG": storetest.Postgres(t), "RD": storetest.Redis(t), "LISTEN": freeAddress(t)}
			spec, c := specFile(t, rescueSpec), client(t, vars["RD"])
			// the first run, which the daemon asks for by itself, is quick
			storetest.Exec(t, vars["PG"], "CREATE TABLE item AS "+strings.Replace(slowTable, "0.02", "0.0", 1))
			daemon := start(t, vars, "run", "--config", spec)
			eventually(t, 30*time.Second, "the jobs have been run", func() (bool, error) {
				return len(records(t, c, "work")) == 1 && len(records(t, c, "ready")) == 1, nil
			})
			storetest.Exec(t, vars["PG"], "DROP TABLE item", "CREATE TABLE item AS "+test.table)
			command := start(t, vars, append(test.args, "--config", spec)...)
			eventually(t, 20*time.Second, "a worker has the task", func() (bool, error) {
				return c.LLen(t.Context(), "asynq:{stoker-run}:active").Val()+
					c.LLen(t.Context(), "asynq:{stoker-refresh}:active").Val() > 0, nil
			})
			time.Sleep(time.Second)
			daemon.stop(syscall.SIGKILL)
			before := strings.Count(command.log.String(), " keys, ")
			time.Sleep(test.away)
			start(t, vars, "run", "--config", spec)
			began := time.Now()
			status := command.wait(60 * time.Second)
			took := time.Since(began)
			if out := command.log.String(); status != 0 || !strings.Contains(out, test.end) {
				t.Errorf("status %d after %s", status, took)
			} else if n := strings.Count(out, " keys, ") - before - 1; n < test.lines-1 {
				t.Errorf("%d lines of progress after the kill:\n%s", n, out)
			}
			var ended time.Time
			if all := records(t, c, "work"); len(all) > 0 && all[0].State == store.StateOK {
				ended = all[0].End
			}
			if late := time.Since(ended); test.args[0] == "warm" && late > 5*time.Second {
				t.Errorf("the command ended %s after the run", late)
			}
			if took > 40*time.Second {
				t.Errorf("the command took %s", took)
			}
		})
	}
}

// A deploy adds a job. Broken by: a replica of before that fails the job's first task for good.
func TestRollingDeployAddsAJob(t *testing.T) {
	t.Parallel()
	head := `postgres: {url: "${PG}"}
redis: {url: "${RD}"}
admin: {listen: "${LISTEN}"}
jobs:
  - {name: kept, key: "k:{id}", query: "SELECT 1 AS id"}
`
	before := map[string]string{"PG": storetest.Postgres(t), "RD": storetest.Redis(t), "LISTEN": freeAddress(t)}
	c := client(t, before["RD"])
	after := map[string]string{"PG": before["PG"], "RD": before["RD"], "LISTEN": freeAddress(t)}
	old := start(t, before, "run", "--config", specFile(t, head+`  - {name: former, key: "f:{id}", query: "SELECT 1 AS id", schedule: "@every 1s"}
`))
	eventually(t, 30*time.Second, "the old replica works", func() (bool, error) {
		return len(records(t, c, "kept")) > 0 && len(records(t, c, "former")) > 0, nil
	})
	added := specFile(t, head+`  - {name: renamed, key: "f:{id}", query: "SELECT 1 AS id", schedule: "@every 1s"}
  - {name: added, key: "a:{id}", query: "SELECT 1 AS id"}
`)
	// the new scheduler is there before the new workers: all that it asks for goes to the old ones first
	start(t, after, "run", "--roles", "scheduler", "--config", added)
	eventually(t, 30*time.Second, "the old replica hands tasks back", func() (bool, error) {
		_, metrics, err := get(t, "http://"+before["LISTEN"]+"/metrics")
		return strings.Contains(old.log.String(), "warm:added@0") &&
			!strings.Contains(metrics, `stoker_tasks_handed_back_total{queue="stoker-run"} 0`), err
	})
	command := start(t, before, "warm", "added", "--wait", "--config", added)
	start(t, after, "run", "--config", added)
	eventually(t, 60*time.Second, "the added and the renamed job are run", func() (bool, error) {
		return len(records(t, c, "added")) > 0 && len(records(t, c, "renamed")) > 0, nil
	})
	if status := command.wait(60 * time.Second); status != 0 {
		t.Errorf("stoker warm added --wait ended with status %d", status)
	}
	old.stop(syscall.SIGTERM)
	if n := c.ZCard(t.Context(), "asynq:{stoker-run}:archived").Val(); n != 0 {
		t.Errorf("%d tasks are archived", n)
	}
	status, _, err := get(t, "http://"+after["LISTEN"]+"/readyz")
	if err != nil || status != http.StatusOK {
		t.Error(fmt.Sprint(status), err)
	}
}
