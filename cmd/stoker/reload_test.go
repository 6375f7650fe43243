package main

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/storetest"
)

// rolledSpec has one job that changes from version to version, one that stays, and one that is there every other time.
func rolledSpec(version int) string {
	text := fmt.Sprintf(`postgres: {url: "${PG}", max_connections: 4}
redis: {url: "${RD}"}
admin: {listen: "${LISTEN}"}
jobs:
  - {name: changes, key: "c:{id}", query: "SELECT id, %d AS version FROM generate_series(1, 3) id", schedule: "@every 1s"}
  - {name: stays, key: "s:{id}", query: "SELECT id FROM generate_series(1, 3) id", schedule: "@every 1s"}
  - {name: idle, key: "i:{id}", query: "SELECT id FROM generate_series(1, 3) id"}
`, version)
	if version%2 == 1 {
		text += `  - {name: sometimes, key: "o:{id}", query: "SELECT id FROM generate_series(1, 3) id", schedule: "@every 1s"}
`
	}
	return text
}

// Two specs are rolled out over three replicas, one replica after the other, to and fro, while tasks come from ticks
// and
// by command with either spec. No task fails, each tick is run once, the job that stays is not run beside its ticks,
// the
// one that has none is never run again, and in the end the values are of the spec that all have.
//
// Broken by: a worker that takes tasks of a definition that it does not have, and one that fails or archives them; a
// catch-up of every job at a reload; a last replica that reloads after the job's run and leaves its own values.
func TestTwoSpecsAreRolledOut(t *testing.T) {
	t.Parallel()
	vars := map[string]string{"PG": storetest.Postgres(t), "RD": storetest.Redis(t)}
	c := client(t, vars["RD"])
	var daemons []*process
	var files []string
	for range 3 {
		vars["LISTEN"] = freeAddress(t)
		files = append(files, specFile(t, rolledSpec(0)))
		daemons = append(daemons, start(t, vars, "run", "--config", files[len(files)-1]))
		eventually(t, time.Minute, "a replica is ready", func() (bool, error) {
			status, _, err := get(t, "http://"+vars["LISTEN"]+"/readyz")
			return status == http.StatusOK, err
		})
	}
	eventually(t, time.Minute, "the job without a schedule has run", func() (bool, error) {
		return len(records(t, c, "idle")) > 0, nil
	})
	const versions = 5
	for version := 1; version <= versions; version++ {
		for i, file := range files {
			if err := os.WriteFile(file, []byte(rolledSpec(version)), 0o600); err != nil {
				t.Fatal(err)
			}
			for _, command := range [][]string{{"warm", "changes"}, {"invalidate", "changes", "id=2"}} {
				for _, by := range files {
					if r := stoker(t, vars, append(command, "--config", by)...); r.status != exitOK {
						t.Errorf("%v with the spec of replica %d: %+v", command, i, r)
					}
				}
			}
			eventually(t, time.Minute, "the replica has the spec", func() (bool, error) {
				return strings.Count(daemons[i].log.String(), `msg="the spec was loaded" reason="the file has changed"`) ==
					version, nil
			})
		}
	}
	for _, key := range []string{"c:1", "c:2", "c:3"} {
		eventually(t, time.Minute, "the values are of the last spec", func() (bool, error) {
			v, err := c.Get(t.Context(), key).Result()
			return strings.HasSuffix(v, fmt.Sprintf(`"version":%d}`, versions)), err
		})
	}
	eventually(t, 2*time.Minute, "the queues are empty", func() (bool, error) {
		n, err := c.ZCard(t.Context(), "asynq:{stoker-refresh}:retry").Result()
		return n == 0, err
	})
	for _, d := range daemons {
		if status := d.stop(os.Interrupt); status != exitOK {
			t.Errorf("a daemon ended with status %d", status)
		}
		if strings.Contains(d.log.String(), "another spec is at work") {
			t.Error("a rollout is taken for specs that get in each other's way")
		}
	}
	for _, queue := range []string{"stoker-run", "stoker-refresh"} {
		if n := c.ZCard(t.Context(), "asynq:{"+queue+"}:archived").Val(); n != 0 {
			t.Errorf("%d tasks of %s are archived", n, queue)
		}
		for _, key := range c.Keys(t.Context(), "asynq:{"+queue+"}:failed:*").Val() {
			if n := c.Get(t.Context(), key).Val(); n != "0" {
				t.Errorf("%s: %s", key, n)
			}
		}
	}
	for _, job := range []string{"changes", "stays", "idle", "sometimes"} {
		dues := map[time.Time]int{}
		for _, r := range records(t, c, job) {
			if r.State != store.StateOK && r.State != store.StateInterrupted && r.State != store.StateSuperseded {
				t.Errorf("a run of %s is %s: %s", job, r.State, r.Error)
			}
			if r.State == store.StateOK && r.Cause == "tick" {
				dues[r.Due]++
			}
			if job == "stays" && r.Cause != "tick" && r.Start.After(records(t, c, "idle")[0].End.Add(time.Second)) {
				t.Errorf("a job that stays was run because of %s", r.Cause)
			}
		}
		for due, n := range dues {
			if n != 1 {
				t.Errorf("the tick of %s due at %s was run %d times", job, due, n)
			}
		}
		t.Logf("%s: %d records, %d ticks", job, len(records(t, c, job)), len(dues))
	}
	if list := records(t, c, "idle"); len(list) != 1 {
		t.Errorf("a job without a schedule that stays was run %d times", len(list))
	}
}

// With the intervals of every day, a good spec is in use within five seconds, and a wrong one is named. A second daemon
// that only looks when it is asked takes it by the API.
func TestSpecIsInUseWithinFiveSeconds(t *testing.T) {
	t.Parallel()
	vars := map[string]string{"PG": storetest.Postgres(t), "RD": storetest.Redis(t), "LISTEN": freeAddress(t)}
	c := client(t, vars["RD"])
	file := specFile(t, rolledSpec(0))
	d := start(t, vars, "run", "--config", file)
	eventually(t, time.Minute, "the daemon is ready", func() (bool, error) {
		status, _, err := get(t, "http://"+vars["LISTEN"]+"/readyz")
		return status == http.StatusOK, err
	})
	if err := os.WriteFile(file, []byte(rolledSpec(2)), 0o600); err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	eventually(t, 30*time.Second, "the new spec is in use", func() (bool, error) {
		return strings.Contains(d.log.String(), `msg="the spec was loaded"`), nil
	})
	t.Logf("in use after %s", time.Since(begun))
	eventually(t, 30*time.Second, "the values are of it", func() (bool, error) {
		return strings.HasSuffix(c.Get(t.Context(), "c:1").Val(), `"version":2}`), nil
	})
	if err := os.WriteFile(file, []byte(rolledSpec(2)+"  - {name: stays}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	eventually(t, 30*time.Second, "the mistake is named", func() (bool, error) {
		return strings.Contains(d.log.String(), file+":8:5: "), nil
	})
	post(t, "http://"+vars["LISTEN"]+"/api/v1/reload", "", http.StatusUnprocessableEntity)
	if err := os.WriteFile(file, []byte(rolledSpec(1)), 0o600); err != nil {
		t.Fatal(err)
	}
	post(t, "http://"+vars["LISTEN"]+"/api/v1/reload", "", http.StatusOK)
	post(t, "http://"+vars["LISTEN"]+"/api/v1/jobs/sometimes/warm", "", http.StatusAccepted)
}
