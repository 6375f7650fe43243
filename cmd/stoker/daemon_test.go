package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/storetest"
	"github.com/stokerhq/stoker/store/testserver"
)

const tickSpec = `postgres: {url: "${PG}"}
redis: {url: "${RD}"}
admin: {listen: "${LISTEN}"}
jobs:
  - {name: quick, key: "q:{id}", query: "SELECT id, name FROM product", schedule: "@every 2s", volatile: true}
  - {name: slow, key: "s:{id}", query: "SELECT i AS id, pg_sleep(0.02)::text || repeat('x', 4000) AS nap FROM generate_series(1, 200) i", schedule: "@every 2s", volatile: true}
`

func newTicks(t *testing.T) (vars map[string]string, spec string) {
	t.Helper()
	vars = map[string]string{"PG": storetest.Postgres(t), "RD": storetest.Redis(t), "LISTEN": freeAddress(t)}
	storetest.Exec(t, vars["PG"], strings.Split(shopSQL, ";\n")...)
	return vars, specFile(t, tickSpec)
}

// records reads what is kept of a job's runs, newest first.
func records(t *testing.T, c *redis.Client, job string) []store.Record {
	t.Helper()
	var list []store.Record
	for _, text := range c.LRange(t.Context(), "stoker:runs:"+job, 0, -1).Val() {
		var r store.Record
		if err := json.Unmarshal([]byte(text), &r); err != nil {
			t.Fatal(err)
		}
		list = append(list, r)
	}
	return list
}

// completedSince reports whether a tick that was due after since has completed.
func completedSince(t *testing.T, c *redis.Client, job string, since time.Time) bool {
	t.Helper()
	for _, r := range records(t, c, job) {
		if r.State == store.StateOK && r.Due.After(since) {
			return true
		}
	}
	return false
}

func TestDaemon(t *testing.T) {
	vars, spec := newTicks(t)
	d := start(t, vars, "run", "--config", spec)
	base := "http://" + vars["LISTEN"]
	eventually(t, 10*time.Second, "the daemon is ready", func() (bool, error) {
		status, _, err := get(t, base+"/readyz")
		return status == http.StatusOK, err
	})
	c := client(t, vars["RD"])
	eventually(t, 10*time.Second, "a tick of each job completes", func() (bool, error) {
		return completedSince(t, c, "quick", time.Time{}) && completedSince(t, c, "slow", time.Time{}), nil
	})

	for path, want := range map[string]string{
		"/": "quick", "/livez": "", "/api/v1/jobs": `"name":"quick"`, "/queues/": "<html",
		"/queues/api/queues": "stoker-run",
		"/metrics":           `stoker_runs_total{job="quick",outcome="ok"}`,
	} {
		status, body, err := get(t, base+path)
		if err != nil || status != http.StatusOK || !strings.Contains(strings.ReplaceAll(body, `": "`, `":"`), want) {
			t.Errorf("%s: %d %v\n%.300s", path, status, err, body)
		}
	}
	_, metrics, err := get(t, base+"/metrics")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"runs_total", "keys_written_total", "bytes_written_total", "run_duration_seconds",
		"queue_wait_seconds", "ticks_due_total", "ticks_skipped_total", "refreshes_total", "ticks_missed_total"} {
		if !strings.Contains(metrics, "# TYPE stoker_"+name) {
			t.Errorf("no metric stoker_%s", name)
		}
	}

	// On demand, through every door.
	storetest.Exec(t, vars["PG"], "UPDATE product SET name = 'new' WHERE id IN (5, 6)")
	if r := stoker(t, vars, "invalidate", "quick", "id=5", "--wait", "--config", spec); r.status != 0 ||
		c.Get(t.Context(), "q:5").Val() != `{"id":5,"name":"new"}` {
		t.Errorf("invalidate --wait: %+v, q:5 is %s", r, c.Get(t.Context(), "q:5").Val())
	}
	post(t, base+"/api/v1/jobs/quick/invalidate", `{"keys":[{"id":6}]}`, http.StatusAccepted)
	eventually(t, 5*time.Second, "the key that the API named is fresh", func() (bool, error) {
		v, err := c.Get(t.Context(), "q:6").Result()
		return v == `{"id":6,"name":"new"}`, err
	})
	post(t, base+"/api/v1/jobs/quick/invalidate", `{"keys":[{"id":"six"}]}`, http.StatusBadRequest)
	post(t, base+"/api/v1/jobs/quick/warm", ``, http.StatusAccepted)

	// slow takes longer than its period: its ticks are skipped, counted, shown.
	eventually(t, 15*time.Second, "a tick is skipped", func() (bool, error) {
		n, err := c.HGet(t.Context(), "stoker:tally:slow", "skipped").Int()
		return n > 0, err
	})
	if r := stoker(t, vars, "status", "--config", spec); !regexp.MustCompile(`slow .* [1-9]\d*\n`).MatchString(r.stdout) {
		t.Errorf("skipped ticks are not shown:\n%s", r.stdout)
	}

	if status := d.stop(syscall.SIGTERM); status != 0 {
		t.Errorf("the daemon ended with status %d", status)
	}
	for _, left := range []string{"asynq:{stoker-run}:active", "asynq:{stoker-refresh}:active"} {
		if n := c.LLen(t.Context(), left).Val(); n != 0 {
			t.Errorf("%d tasks were left in %s", n, left)
		}
	}
}

func post(t *testing.T, url, body string, want int) {
	t.Helper()
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Post(url, "application/json",
		strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != want {
		t.Errorf("POST %s: %d, want %d", url, resp.StatusCode, want)
	}
}

// Three daemons run each tick once between them.
func TestReplicasRunEachTickOnce(t *testing.T) {
	t.Parallel()
	vars, spec := newTicks(t)
	c := client(t, vars["RD"])
	var daemons []*process
	for range 3 {
		vars["LISTEN"] = freeAddress(t)
		daemons = append(daemons, start(t, vars, "run", "--config", spec))
	}
	eventually(t, 30*time.Second, "five ticks complete",
		func() (bool, error) { return len(records(t, c, "quick")) >= 6, nil })
	for _, d := range daemons {
		if status := d.stop(os.Interrupt); status != 0 {
			t.Errorf("a daemon ended with status %d", status)
		}
	}
	dues := map[time.Time]int{}
	for _, r := range records(t, c, "quick") {
		dues[r.Due]++
	}
	for due, n := range dues {
		if n != 1 {
			t.Errorf("the tick due at %s ran %d times", due, n)
		}
	}
}

func TestTheAdminListenerNeedsATokenElsewhere(t *testing.T) {
	vars, spec := newTicks(t)
	vars["LISTEN"] = "0.0.0.0:0"
	if r := stoker(t, vars, "run", "--config", spec); r.status != 2 || !strings.Contains(r.stderr, "admin.token") {
		t.Errorf("%+v", r)
	}
	vars["LISTEN"] = freeAddress(t)
	other := start(t, vars, "run", "--config", spec)
	eventually(t, 10*time.Second, "the first daemon listens", func() (bool, error) {
		status, _, err := get(t, "http://"+vars["LISTEN"]+"/livez")
		return status == http.StatusOK, err
	})
	if r := stoker(t, vars, "run", "--config", spec); r.status != 1 ||
		!strings.Contains(r.stderr, "address already in use (is another stoker running?") {
		t.Errorf("%+v", r)
	}
	other.stop(os.Interrupt)
}

// What must be survived: the daemon goes on by itself, and a tick due after the
// trouble completes. keys is how many the job has.
func TestTroubles(t *testing.T) {
	t.Parallel()
	for name, trouble := range map[string]func(t *testing.T, w *world){
		"worker killed in mid-run": func(t *testing.T, w *world) {
			w.awaitRunning(t)
			if status := w.daemon.stop(syscall.SIGKILL); status == 0 {
				t.Error("a killed daemon ended in order")
			}
			w.wantGoodKeys(t)
			w.daemon = start(t, w.vars, "run", "--config", w.spec)
		},
		"worker stopped in mid-run": func(t *testing.T, w *world) {
			w.awaitRunning(t)
			begin := time.Now()
			if status := w.daemon.stop(syscall.SIGTERM); status != 0 || time.Since(begin) > 3*time.Second {
				t.Errorf("stopping in mid-run: status %d after %s", status, time.Since(begin))
			}
			w.wantGoodKeys(t)
			if last := records(t, w.client, "slow")[0]; last.State != store.StateInterrupted {
				t.Errorf("the run's record says %s", last.State)
			}
			w.daemon = start(t, w.vars, "run", "--config", w.spec)
		},
		"postgres restarted": func(t *testing.T, w *world) {
			w.awaitRunning(t)
			w.postgres.Kill()
			w.wantGoodKeys(t)
			if err := w.postgres.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			w.wantGoodKeys(t)
		},
		"redis restarted, its data lost": func(t *testing.T, w *world) {
			w.awaitRunning(t)
			w.redis.Kill()
			if err := w.redis.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
		},
		"redis restarted, its data kept": func(t *testing.T, w *world) {
			w.awaitRunning(t)
			if err := w.client.Save(t.Context()).Err(); err != nil {
				t.Fatal(err)
			}
			w.redis.Kill()
			if err := w.redis.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			w.wantGoodKeys(t)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			trouble(t, w)
			after := time.Now()
			eventually(t, 30*time.Second, "a tick due after the trouble completes", func() (bool, error) {
				return completedSince(t, w.client, "slow", after), nil
			})
			w.wantGoodKeys(t)
			if status := w.daemon.stop(syscall.SIGTERM); status != 0 {
				t.Errorf("the daemon ended with status %d", status)
			}
		})
	}
}

// world is a daemon on servers of its own, with every key of a slow job warm.
type world struct {
	postgres *testserver.Postgres
	redis    *testserver.Redis
	vars     map[string]string
	spec     string
	daemon   *process
	client   *redis.Client
}

// worldKeys are read at a hundred a second, each wide enough to be sent at once.
const worldKeys = 150

const worldSpec = `postgres: {url: "${PG}"}
redis: {url: "${RD}"}
admin: {listen: "${LISTEN}"}
jobs:
  - {name: slow, key: "s:{id}", query: "SELECT i AS id, pg_sleep(0.01)::text || repeat('x', 4000) AS nap FROM generate_series(1, %d) i", schedule: "@every 3s", ttl: 1h, volatile: true}
`

func newWorld(t *testing.T) *world {
	t.Helper()
	w := newServers(t)
	w.spec = specFile(t, fmt.Sprintf(worldSpec, worldKeys))
	w.daemon = start(t, w.vars, "run", "--config", w.spec)
	eventually(t, 20*time.Second, "every key is warm", func() (bool, error) {
		return completedSince(t, w.client, "slow", time.Time{}), nil
	})
	w.wantGoodKeys(t)
	return w
}

// newServers is a world without a daemon yet.
func newServers(t *testing.T) *world {
	t.Helper()
	w := &world{}
	var err error
	if w.postgres, err = testserver.StartPostgres(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.postgres.Close(); err != nil {
			t.Error(err)
		}
	})
	if w.redis, err = testserver.StartRedis(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.redis.Close(); err != nil {
			t.Error(err)
		}
	})
	w.vars = map[string]string{"PG": w.postgres.URL("postgres"), "RD": w.redis.URL(0), "LISTEN": freeAddress(t)}
	w.client = client(t, w.vars["RD"])
	return w
}

// awaitRunning waits until a run is going and has read some rows.
func (w *world) awaitRunning(t *testing.T) {
	t.Helper()
	eventually(t, 15*time.Second, "a run is going", func() (bool, error) {
		b, err := w.client.Get(t.Context(), "stoker:live:slow").Bytes()
		if err != nil {
			return false, err
		}
		var p store.Progress
		err = json.Unmarshal(b, &p)
		return p.Rows > 10 && p.Rows < worldKeys*3/4, err
	})
}

// wantGoodKeys: no key that was good is lost.
func (w *world) wantGoodKeys(t *testing.T) {
	t.Helper()
	for i := 1; i <= worldKeys; i++ {
		key := "s:" + strconv.Itoa(i)
		if v, err := w.client.Get(t.Context(), key).Result(); err != nil ||
			v != fmt.Sprintf(`{"id":%d,"nap":"%s"}`, i, strings.Repeat("x", 4000)) {
			t.Fatalf("%s is %q, %v", key, v, err)
		}
	}
}

// The first hour of a user: a query with a mistake, mended, and the daemon
// started again. A job that has never completed is run at once.
func TestAMendedJobIsRunAtTheNextStart(t *testing.T) {
	vars, _ := newTicks(t)
	const spec = `postgres: {url: "${PG}"}
redis: {url: "${RD}"}
admin: {listen: "${LISTEN}"}
jobs:
  - {name: daily, key: "d:{id}", query: "SELECT id, 1 / (id - %d) AS x FROM product", schedule: "@daily"}
  - {name: asked, key: "a:{id}", query: "SELECT id, 1 / (id - %d) AS x FROM product"}
`
	c := client(t, vars["RD"])
	d := start(t, vars, "run", "--config", specFile(t, fmt.Sprintf(spec, 7, 7)))
	eventually(t, 10*time.Second, "both jobs fail", func() (bool, error) {
		// A record is written before its task ends: one that is stopped between them comes back to the queue,
		// and is then left, for half a minute, to workers that have the spec with the mistake.
		active, err := c.LLen(t.Context(), "asynq:{stoker-run}:active").Result()
		return active == 0 && len(records(t, c, "daily")) > 0 && len(records(t, c, "asked")) > 0, err
	})
	d.stop(os.Interrupt)
	d = start(t, vars, "run", "--config", specFile(t, fmt.Sprintf(spec, 1000, 1000)))
	eventually(t, 10*time.Second, "both jobs complete", func() (bool, error) {
		n, err := c.Exists(t.Context(), "d:7", "a:7").Result()
		return n == 2, err
	})
	d.stop(os.Interrupt)
}

// --wait tells a worker that is busy from one that is not there, also when it
// was there a moment ago.
func TestWaitTellsBusyFromGone(t *testing.T) {
	t.Parallel()
	vars, _ := newTicks(t)
	spec := specFile(t, `postgres: {url: "${PG}", max_connections: 2}
redis: {url: "${RD}"}
admin: {listen: "${LISTEN}"}
jobs:
  - {name: long, key: "l:{id}", query: "SELECT 1 AS id, pg_sleep(6)::text AS nap"}
  - {name: quick, key: "q:{id}", query: "SELECT id FROM product"}
`)
	c := client(t, vars["RD"])
	d := start(t, vars, "run", "--config", spec, "--roles", "worker")
	eventually(t, 10*time.Second, "the worker runs",
		func() (bool, error) { return strings.Contains(d.log.String(), "stoker is running"), nil })
	if r := stoker(t, vars, "warm", "long", "--config", spec); r.status != 0 {
		t.Fatalf("%+v", r)
	}
	eventually(t, 5*time.Second, "the long run goes on",
		func() (bool, error) { return c.Exists(t.Context(), "stoker:live:long").Val() == 1, nil })
	if r := stoker(t, vars, "warm", "quick", "--wait", "--config", spec); r.status != 0 {
		t.Errorf("behind a busy worker: %+v", r)
	}
	d.stop(syscall.SIGKILL)
	begin := time.Now()
	if r := stoker(t, vars, "warm", "quick", "--wait", "--config", spec); r.status != 1 ||
		!strings.Contains(r.stderr, "no worker is listening") || time.Since(begin) > 8*time.Second {
		t.Errorf("after a kill: %s, %+v", time.Since(begin), r)
	}
}
