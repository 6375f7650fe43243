package main

import (
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stokerhq/stoker/store/storetest"
)

const leastRightsSpec = `postgres: {url: "${PG}"}
redis: {url: "${RD}", queue_url: "${QUEUE}"}
admin: {listen: "${LISTEN}"}
changes: {source: wal}
audit: {rate: 100/s}
defaults: {ttl: 1h}
jobs:
  - {name: product, query: "SELECT id, v FROM item", key: "product:{id}", watch: [{table: item, key: {id: id}}],
     schedule: "@every 1s", objective: {age: 60s, ratio: 99%}}
  - {name: by-v, query: "SELECT v, id FROM item ORDER BY v, id", key: "by:{v}", value: rows, watch: [{table: item}]}
  - {name: hash, query: "SELECT id, v FROM item", key: "hash:{id}", type: hash, watch: [{table: item, key: {id: id}}]}
`

// All of Stoker works with the rights that the docs call the least, and not with one less: then check and run name it.
// Broken by: a command that Stoker sends and the docs, or the list that check asks for, lack.
func TestLeastRights(t *testing.T) {
	t.Parallel()
	w := newServers(t)
	queue := storetest.OwnRedis(t)
	tasks := client(t, queue.URL(0))
	storetest.Exec(t, w.vars["PG"], "CREATE TABLE item (id int PRIMARY KEY, v int)",
		"INSERT INTO item SELECT i, i % 10 FROM generate_series(1, 500) i")
	for name, c := range map[string]*redis.Client{"stoker-cache": w.client, "stoker-queue": tasks} {
		setUser(t, c, leastACL(t, name))
	}
	w.vars["RD"] = strings.Replace(w.vars["RD"], "://", "://stoker-cache:CACHE_PASSWORD@", 1)
	w.vars["QUEUE"] = "redis://stoker-queue:QUEUE_PASSWORD@" + queue.Addr() + "/3"
	spec := specFile(t, leastRightsSpec)
	w.useAll(t, spec)
	for name, c := range map[string]*redis.Client{"stoker-cache": w.client, "stoker-queue": tasks} {
		for _, denied := range acls(t, c) {
			t.Errorf("%s was refused: %v", name, denied)
		}
		for _, right := range leastACL(t, name)[2:] {
			w.refusesWithout(t, spec, c, name, right)
		}
	}
}

// refusesWithout takes one right from the user, and wants check to name it.
func (w *world) refusesWithout(t *testing.T, spec string, c *redis.Client, name, right string) {
	t.Helper()
	rest := slices.DeleteFunc(leastACL(t, name), func(r string) bool { return r == right })
	switch {
	case right == "resetkeys" || right == "resetchannels" || right == "-@all" || strings.HasPrefix(right, ">"):
		return
	}
	setUser(t, c, append([]string{name, "reset"}, rest[1:]...))
	r := stoker(t, w.vars, "check", "--config", spec)
	status := exitFailed
	if right == "+info" {
		status = exitOK // it can do without
	}
	if right == "+ping" || right == "+select" {
		right = right[1:] // what the connection itself needs, Redis names
	}
	if r.status != status || !strings.Contains(r.stdout, right) || !strings.Contains(r.stdout, name) {
		t.Errorf("without %s: %+v", right, r)
	}
	setUser(t, c, leastACL(t, name))
}

// A daemon does not start with a Redis that it could not write to, and says what to write instead. Broken by: a start
// that only asks whether the server answers.
func TestRunRefusesTheWrongRedis(t *testing.T) {
	w := newServers(t)
	other := storetest.OwnRedis(t)
	c := client(t, other.URL(0))
	node := storetest.OwnRedis(t, "--cluster-enabled", "yes")
	setUser(t, c, []string{"reader", "on", ">secret-word", "allkeys", "allchannels", "+@all", "-@write"})
	spec := specFile(t, strings.Replace(leastRightsSpec, "source: wal", "source: none", 1))
	storetest.Exec(t, w.vars["PG"], "CREATE TABLE item (id int PRIMARY KEY, v int)")
	good := w.vars["RD"]
	for want, urls := range map[string][2]string{
		"redis.url: this is a node of a Redis Cluster": {node.URL(0), good},
		"redis.queue_url: the user reader lacks rights: ACL SETUSER": {good,
			"redis://reader:secret-word@" + other.Addr()},
		"redis.url: the user reader lacks rights: ACL SETUSER reader +": {"redis://reader:secret-word@" + other.Addr(),
			good},
		"redis.url: this is a replica": {other.URL(0), good},
	} {
		if strings.Contains(want, "replica") {
			if err := c.ReplicaOf(t.Context(), "127.0.0.1", strconv.Itoa(w.redis.Port())).Err(); err != nil {
				t.Fatal(err)
			}
		}
		w.vars["RD"], w.vars["QUEUE"], w.vars["LISTEN"] = urls[0], urls[1], freeAddress(t)
		d := start(t, w.vars, "run", "--config", spec)
		if status := d.wait(30 * time.Second); status != exitFailed || !strings.Contains(d.log.String(), want) {
			t.Errorf("status %d, want 1 and %q: %s", status, want, d.log)
		}
		if r := stoker(t, w.vars, "check", "--config", spec); r.status != exitFailed ||
			!strings.Contains(r.stdout, strings.SplitN(want, ": ", 2)[1]) {
			t.Errorf("check, want %q: %+v", want, r)
		}
		if err := c.ReplicaOf(t.Context(), "no", "one").Err(); err != nil {
			t.Fatal(err)
		}
	}
}

// leastACL is the line of the docs, with the key patterns of this test's jobs.
func leastACL(t *testing.T, name string) []string {
	t.Helper()
	text, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if rule, is := strings.CutPrefix(line, "user "+name+" "); is {
			rule = strings.Replace(rule, "~top:*", "~by:* ~hash:*", 1)
			return append([]string{name}, strings.Fields(rule)...)
		}
	}
	t.Fatalf("the docs have no ACL of %s", name)
	return nil
}

func setUser(t *testing.T, c *redis.Client, rules []string) {
	t.Helper()
	args := []any{"acl", "setuser"}
	for _, r := range rules {
		args = append(args, r)
	}
	if err := c.Do(t.Context(), args...).Err(); err != nil {
		t.Fatalf("%v: %v", rules, err)
	}
}

// acls is what ACL LOG has of denied commands, but for those that go-redis itself sends and does not need.
func acls(t *testing.T, c *redis.Client) (denied []string) {
	t.Helper()
	list, err := c.ACLLog(t.Context(), 100).Result()
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range list {
		if !strings.HasPrefix(entry.Object, "client|") && !strings.HasPrefix(entry.Object, "cluster|") {
			denied = append(denied, entry.Reason+" "+entry.Object)
		}
	}
	return denied
}

// useAll does everything that Stoker does with Redis.
func (w *world) useAll(t *testing.T, spec string) {
	d := start(t, w.vars, "run", "--config", spec)
	url := "http://" + w.vars["LISTEN"]
	eventually(t, 20*time.Second, "ready", func() (bool, error) {
		status, _, err := get(t, url+"/readyz")
		return status == 200, err
	})
	run := func(args ...string) {
		t.Helper()
		if r := stoker(t, w.vars, append(args, "--config", spec)...); r.status != 0 {
			t.Errorf("%v: %+v", args, r)
		}
	}
	run("check")
	run("warm", "--all", "--wait")
	run("warm", "--all", "--local", "--rewrite")
	storetest.Exec(t, w.vars["PG"], "UPDATE item SET v = 77 WHERE id = 1", "DELETE FROM item WHERE id = 2",
		"INSERT INTO item VALUES (1000, 1)", "UPDATE item SET v = 78")
	w.becomesWithin(t, 20*time.Second, map[string]string{"product:1": `{"id":1,"v":78}`, "product:2": "",
		"product:1000": `{"id":1000,"v":78}`})
	for _, job := range []string{"product", "hash"} {
		run("invalidate", job, "id=3", "--wait")
		run("invalidate", job, "id=3", "--remove", "--wait")
		run("invalidate", job, "id=3", "--local")
		run("invalidate", job, "id=1234567", "--local")
	}
	run("invalidate", "by-v", "--all", "--remove", "--wait")
	run("warm", "--all", "--wait", "--accept-shrink")
	run("verify", "--repair")
	run("status")
	run("preview", "product")
	for _, path := range []string{"/", "/jobs/product", "/api/v1/jobs", "/metrics", "/queues/", "/queues/api/queues",
		"/queues/api/queues/stoker-run", "/queues/api/queues/stoker-refresh/completed_tasks", "/queues/api/servers",
		"/queues/api/redis_info", "/queues/api/schedulers"} {
		status, body, err := get(t, url+path)
		if status != 200 || err != nil {
			t.Errorf("%s: %d, %v: %s", path, status, err, body)
		}
	}
	if status, body := send(t, url+"/api/v1/jobs/product/invalidate?wait=1", `{"keys": [{"id": "5"}]}`); status != 200 {
		t.Errorf("%d %s", status, body)
	}
	time.Sleep(12 * time.Second) // watch, audit, leases
	log := d.log.String()
	for line := range strings.Lines(log) {
		if strings.Contains(line, "NOPERM") || strings.Contains(line, "The user executing the script") {
			t.Error(line)
		}
	}
	if status := d.stop(os.Interrupt); status != 0 {
		t.Errorf("status %d", status)
	}
}
