package main

import (
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stokerhq/stoker/store/storetest"
)

// A Redis that refuses writes, that of the cache, that of the queue, or the one for both, shows at once wherever
// someone asks or looks; and what was accepted is done when it takes writes again, long after the retries of a task
// would be over. Broken by: any of the places that does not look, and a refusal that uses up retries.
func TestRedisRefusesWrites(t *testing.T) {
	t.Parallel()
	for _, which := range []string{"cache and queue", "cache", "queue"} {
		t.Run(which, func(t *testing.T) {
			t.Parallel()
			w := newServers(t)
			w.vars["QUEUE"] = w.vars["RD"]
			refusing := w.client
			if which != "cache and queue" {
				queue := storetest.OwnRedis(t)
				w.vars["QUEUE"] = queue.URL(0)
				if which == "queue" {
					refusing = client(t, queue.URL(0))
				}
			}
			w.refuses(t, which, refusing)
		})
	}
}

const refusalSpec = `postgres: {url: "${PG}"}
redis: {url: "${RD}", queue_url: "${QUEUE}"}
admin: {listen: "${LISTEN}"}
changes: {source: wal}
defaults: {ttl: 1h, stale_grace: 10m}
jobs:
  - {name: item, query: "SELECT id, v FROM item", key: "item:{id}", watch: [{table: item, key: {id: id}}]}
  - {name: other, query: "SELECT id, v FROM other", key: "other:{id}"}
`

func (w *world) refuses(t *testing.T, which string, refusing *redis.Client) {
	storetest.Exec(t, w.vars["PG"], "CREATE TABLE item (id int PRIMARY KEY, v int)", "CREATE TABLE other AS SELECT 1 "+
		"AS id, 1 AS v", "INSERT INTO item VALUES (1, 1), (2, 1)")
	spec := specFile(t, refusalSpec)
	d := start(t, w.vars, "run", "--config", spec)
	defer func() { d.stop(os.Interrupt) }()
	url := "http://" + w.vars["LISTEN"]
	eventually(t, 20*time.Second, "ready", func() (bool, error) {
		status, _, err := get(t, url+"/readyz")
		return status == http.StatusOK, err
	})
	w.becomesWithin(t, 20*time.Second, map[string]string{"item:1": `{"id":1,"v":1}`, "other:1": `{"id":1,"v":1}`})
	set := func(n string) {
		if err := refusing.ConfigSet(t.Context(), "min-replicas-to-write", n).Err(); err != nil {
			t.Fatal(err)
		}
	}
	set("1")
	storetest.Exec(t, w.vars["PG"], "UPDATE item SET v = 2", "UPDATE other SET v = 2")
	const words, remedy = "NOREPLICAS Not enough good replicas to write", "lower its min-replicas-to-write"
	wantWords := func(where, text string) {
		t.Helper()
		if !strings.Contains(text, words) || !strings.Contains(text, remedy) {
			t.Errorf("%s: %s", where, text)
		}
	}
	status, body, err := get(t, url+"/readyz")
	if status != http.StatusServiceUnavailable || err != nil {
		t.Errorf("readyz: %d, %v", status, err)
	}
	wantWords("readyz", body)
	for _, args := range [][]string{{"invalidate", "other", "id=1"}, {"invalidate", "other", "id=1", "--wait"},
		{"invalidate", "other", "id=1", "--local"}, {"warm", "other", "--wait"}} {
		began := time.Now()
		r := stoker(t, w.vars, append(args, "--config", spec)...)
		if which == "queue" && strings.Contains(strings.Join(args, " "), "--local") {
			continue // the cache takes it
		}
		if r.status != exitFailed || time.Since(began) > 15*time.Second {
			t.Errorf("%v: status %d after %s: %s", args, r.status, time.Since(began), r.stderr)
		}
		wantWords(strings.Join(args, " "), r.stderr)
	}
	for _, query := range []string{"", "?wait=1"} {
		began := time.Now()
		status, body := send(t, url+"/api/v1/jobs/other/invalidate"+query, `{"keys": [{"id": "1"}]}`)
		if status != http.StatusBadGateway || time.Since(began) > 10*time.Second {
			t.Errorf("invalidate%s: %d after %s", query, status, time.Since(began))
		}
		wantWords("invalidate"+query, body)
	}
	time.Sleep(2 * writesLook)
	r := stoker(t, w.vars, "status", "--config", spec)
	wantWords("status", r.stdout)
	for _, path := range []string{"/", "/jobs/item", "/api/v1/jobs"} {
		status, body, err := get(t, url+path)
		if status != http.StatusOK || err != nil {
			t.Errorf("%s: %d, %v", path, status, err)
		}
		wantWords(path, body)
	}
	for _, server := range strings.Split(which, " and ") {
		_, body, err := get(t, url+"/metrics")
		if line := `stoker_redis_writable{redis="` + server + `"} 0`; !strings.Contains(body, line) || err != nil {
			t.Errorf("the metrics lack %s: %v", line, err)
		}
	}
	wantWords("log", d.log.String())
	time.Sleep(20 * time.Second)
	set("0")
	began := time.Now()
	w.becomesWithin(t, 40*time.Second, map[string]string{"item:1": `{"id":1,"v":2}`, "item:2": `{"id":2,"v":2}`})
	if which == "cache" {
		w.becomesWithin(t, 40*time.Second, map[string]string{"other:1": `{"id":1,"v":2}`})
	}
	t.Logf("paid after %s", time.Since(began))
	eventually(t, 10*time.Second, "ready again", func() (bool, error) {
		status, _, err := get(t, url+"/readyz")
		return status == http.StatusOK, err
	})
}

// writesLook is how often a daemon looks whether writes are taken.
const writesLook = 2 * time.Second

func send(t *testing.T, url, body string) (int, string) {
	t.Helper()
	resp, err := http.Post(url, "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}
