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

// All of Stoker works as the users that `stoker acl` prints, and not with one right less: then check and run name it
// (TestEachRightIsAskedFor takes each away). Broken by: a command that Stoker sends and the table lacks.
func TestLeastRights(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		spec   string
		shared bool // one Redis, of a cluster
	}{
		"two servers": {spec: leastRightsSpec},
		"one node of a cluster, in a namespace": {shared: true,
			spec: "namespace: shop\nnotify: [{url: \"${HOOK}\", format: slack}]\n" +
				strings.Replace(leastRightsSpec, `listen: "${LISTEN}"`, `listen: "${LISTEN}", queues: read-write`, 1)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newServers(t)
			storetest.Exec(t, w.vars["PG"], "CREATE TABLE item (id int PRIMARY KEY, v int)",
				"INSERT INTO item SELECT i, i % 10 FROM generate_series(1, 500) i")
			w.vars["HOOK"] = "http://127.0.0.1:9/hook"
			w.useAsLeast(t, specFile(t, tt.spec), tt.shared)
		})
	}
}

// useAsLeast does everything as the users that are printed.
func (w *world) useAsLeast(t *testing.T, spec string, shared bool) {
	queue := storetest.OwnRedis(t)
	w.vars["QUEUE"] = queue.URL(3)
	clients := map[string]*redis.Client{"cache": w.client, "queue": client(t, queue.URL(0))}
	if shared {
		queue = storetest.OwnRedis(t, "--cluster-enabled", "yes")
		w.client = client(t, queue.URL(0))
		if err := w.client.ClusterAddSlotsRange(t.Context(), 0, 16383).Err(); err != nil {
			t.Fatal(err)
		}
		clients = map[string]*redis.Client{"redis": w.client}
		w.vars["RD"] = "redis://" + queue.Addr() + "?addr=" + queue.Addr()
		w.vars["QUEUE"] = w.vars["RD"]
	}
	for use, c := range clients {
		setUser(t, c, w.leastACL(t, spec, use))
	}
	as := func(url, user string) string { return strings.Replace(url, "://", "://"+user+":"+leastPassword+"@", 1) }
	if shared {
		w.vars["RD"] = as(w.vars["RD"], "stoker")
		w.vars["QUEUE"] = w.vars["RD"]
	} else {
		w.vars["RD"], w.vars["QUEUE"] = as(w.vars["RD"], "stoker-cache"), as(w.vars["QUEUE"], "stoker-queue")
	}
	w.useAll(t, spec)
	for use, c := range clients {
		for _, denied := range acls(t, c) {
			t.Errorf("%s was refused: %v", use, denied)
		}
		w.refusesWithout(t, spec, c, use, "+evalsha")
	}
	reader := w.leastACL(t, spec, "readers")
	setUser(t, w.client, reader)
	c := client(t, as("redis://"+w.client.Options().Addr, reader[0]))
	if v, err := c.Get(t.Context(), "product:5").Result(); err != nil || v == "" {
		t.Errorf("a reader reads %q: %v", v, err)
	}
	if err := c.Set(t.Context(), "product:5", "x", 0).Err(); err == nil || !strings.HasPrefix(err.Error(), "NOPERM") {
		t.Errorf("a reader writes: %v", err)
	}
}

const leastPassword = "hunter2"

// leastACL is what `stoker acl` prints for a use, with a password in its place.
func (w *world) leastACL(t *testing.T, spec, use string) []string {
	t.Helper()
	r := stoker(t, w.vars, "acl", "--config", spec)
	if r.status != exitOK || strings.Contains(r.stdout+r.stderr, leastPassword) {
		t.Fatalf("acl: %+v", r)
	}
	place := "<" + strings.ToUpper(use) + "_PASSWORD>"
	for line := range strings.Lines(r.stdout) {
		if strings.Contains(line, place) {
			return strings.Fields(strings.Replace(line, place, ">"+leastPassword, 1))[1:]
		}
	}
	t.Fatalf("no user for %s: %s", use, r.stdout)
	return nil
}

// The docs show what `stoker acl` prints for their spec. Broken by: a right that is added without the docs.
func TestDocsShowTheLeastRights(t *testing.T) {
	spec := specFile(t, `postgres: {url: "postgres://db/shop"}
redis: {url: "redis://cache:6379", queue_url: "redis://queue:6379"}
jobs:
  - {name: product, query: SELECT id FROM item, key: "product:{id}", schedule: "@every 1m"}
  - {name: top, query: SELECT c FROM item, key: "top:{c}", schedule: "@every 1m"}
`)
	text, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	if r := stoker(t, nil, "acl", "--config", spec); r.status != exitOK || !strings.Contains(string(text), r.stdout) {
		t.Errorf("docs/operations.md lacks these lines:\n%s%s", r.stdout, r.stderr)
	}
}

func TestACLRefusesWhatItCannotPrint(t *testing.T) {
	spec := specFile(t, leastRightsSpec)
	vars := map[string]string{"PG": "postgres://db/shop", "RD": "redis://u:hunter2@h", "QUEUE": "redis://h",
		"LISTEN": "127.0.0.1:1"}
	for _, args := range [][]string{{"--for", "writers"}, {"--user", "x"}, {"--for", "cache", "--user", "a b"}, {"x"}} {
		r := stoker(t, vars, append([]string{"acl", "--config", spec}, args...)...)
		if r.status != exitWrong || r.stdout != "" {
			t.Errorf("%v: %+v", args, r)
		}
	}
	for want, args := range map[string][]string{
		"ACL SETUSER u on resetkeys ~stoker:*":       {"--for", "cache", "--setuser"},
		"ACL SETUSER shop on resetkeys %R~product:*": {"--for", "readers", "--user", "shop", "--setuser"},
		`"for": "queue"`: {"--json"},
		"+scan +unlink":  {"--purge", "--for", "queue"},
		"user stoker-queue on <QUEUE_PASSWORD> resetk": {"--no-dashboard"},
	} {
		r := stoker(t, vars, append([]string{"acl", "--config", spec}, args...)...)
		if r.status != exitOK || !strings.Contains(r.stdout, want) || strings.Contains(r.stdout+r.stderr, "hunter2") {
			t.Errorf("%v, want %q: %+v", args, want, r)
		}
	}
}

// refusesWithout takes one right from the user, and wants check to name it.
func (w *world) refusesWithout(t *testing.T, spec string, c *redis.Client, use, right string) {
	t.Helper()
	all := w.leastACL(t, spec, use)
	rest := slices.DeleteFunc(slices.Clone(all), func(r string) bool { return r == right })
	setUser(t, c, append([]string{all[0], "reset"}, rest[1:]...))
	r := stoker(t, w.vars, "check", "--config", spec)
	if r.status != exitFailed || !strings.Contains(r.stdout, right) || !strings.Contains(r.stdout, all[0]) {
		t.Errorf("without %s: %+v", right, r)
	}
	setUser(t, c, all)
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
	prefix := ""
	if text, err := os.ReadFile(spec); err != nil {
		t.Fatal(err)
	} else if strings.Contains(string(text), "namespace: shop") {
		prefix = "shop:"
	}
	for _, path := range []string{"/", "/jobs/product", "/api/v1/jobs", "/metrics", "/queues/", "/queues/api/queues",
		"/queues/api/queues/" + prefix + "stoker-run",
		"/queues/api/queues/" + prefix + "stoker-refresh/completed_tasks",
		"/queues/api/servers",
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
