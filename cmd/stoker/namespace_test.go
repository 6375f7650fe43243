package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/storetest"
)

// spacedSpec is a spec with a job that all have, under keys of its own, and one that no other has.
func spacedSpec(namespace, listen, own string) string {
	line := ""
	if namespace != "" {
		line = "namespace: " + namespace + "\n"
	}
	return line + fmt.Sprintf(`postgres: {url: "${PG}", max_connections: 3}
redis: {url: "${RD}"}
admin: {listen: %q}
changes: {source: wal}
jobs:
  - {name: product, key: "%[2]s:p:{id}", query: "SELECT id, name, '%[2]s' AS of FROM product", schedule: "@every 1s", watch: [{table: product, key: {id: id}}]}
  - {name: %[2]s, key: "%[2]s:o:{id}", query: "SELECT id FROM product", schedule: "@every 1s"}
`, listen, own)
}

// spaced is a daemon of a namespace.
type spaced struct {
	namespace, own, base, file string
	daemon                     *process
}

func (s spaced) key(name string) string {
	if s.namespace == "" {
		return "stoker:" + name
	}
	return "stoker:ns:" + s.namespace + ":" + name
}

func (s spaced) queue(name string) string {
	if s.namespace == "" {
		return name
	}
	return s.namespace + ":" + name
}

func startSpaced(t *testing.T, vars map[string]string, namespace, own string) spaced {
	t.Helper()
	listen := freeAddress(t)
	s := spaced{namespace: namespace, own: own, base: "http://" + listen,
		file: specFile(t, spacedSpec(namespace, listen, own))}
	if r := stoker(t, vars, "changes", "install", "--apply", "--config", s.file); r.status != exitOK {
		t.Fatalf("%+v", r)
	}
	s.daemon = start(t, vars, "run", "--config", s.file)
	return s
}

func (s spaced) records(t *testing.T, c *redis.Client, job string) (list []store.Record) {
	t.Helper()
	for _, text := range c.LRange(t.Context(), s.key("runs:"+job), 0, -1).Val() {
		var r store.Record
		if err := json.Unmarshal([]byte(text), &r); err != nil {
			t.Fatal(err)
		}
		list = append(list, r)
	}
	return list
}

// Three specs with a job of one name share a Redis and a database: two namespaces, and none. They tick, follow changes
// and are asked at once; then each is purged while the others go on.
//
// Broken by: a task that another's worker takes, a tick whose name another has taken, a publication or a key that two
// share; a purge that takes a key of another, or leaves one.
func TestThreeNamespacesShareOneRedis(t *testing.T) {
	t.Parallel()
	vars := map[string]string{"PG": storetest.Postgres(t), "RD": storetest.Redis(t)}
	storetest.Exec(t, vars["PG"], strings.Split(shopSQL, ";\n")...)
	c := client(t, vars["RD"])
	c.Set(t.Context(), "application", "x", 0)
	list := []spaced{startSpaced(t, vars, "", "first"), startSpaced(t, vars, "team-a", "second"),
		startSpaced(t, vars, "team_b", "third")}
	for _, s := range list {
		eventually(t, time.Minute, "ready, and each job has run", func() (bool, error) {
			status, _, err := get(t, s.base+"/readyz")
			return status == http.StatusOK && len(s.records(t, c, "product")) > 1 &&
				len(s.records(t, c, s.own)) > 1, err
		})
	}
	for n := range 5 {
		storetest.Exec(t, vars["PG"], fmt.Sprintf("UPDATE product SET name = 'v%d' WHERE id = 5", n))
		for _, s := range list {
			eventually(t, time.Minute, "the change is readable", func() (bool, error) {
				v, err := c.Get(t.Context(), s.own+":p:5").Result()
				return v == fmt.Sprintf(`{"id":5,"name":"v%d","of":"%s"}`, n, s.own), err
			})
			for _, command := range [][]string{{"invalidate", "product", "id=5", "--wait"}, {"warm", s.own, "--wait"}} {
				if r := stoker(t, vars, append(command, "--config", s.file)...); r.status != exitOK {
					t.Errorf("%v of %s: %+v", command, s.own, r)
				}
			}
		}
	}
	for i, s := range list {
		status, body, err := get(t, s.base+"/queues/api/queues")
		if err != nil || status != http.StatusOK {
			t.Errorf("the dashboard of %s: %d, %v", s.own, status, err)
		}
		for j, other := range list {
			if has := strings.Contains(body, `"`+other.queue("stoker-run")+`"`); has != (i == j) {
				t.Errorf("the dashboard of %s shows the queue %s: %t", s.own, other.queue("stoker-run"), has)
			}
		}
		if r := stoker(t, vars, "check", "--config", s.file); r.status != exitOK ||
			strings.Contains(r.stdout, "another spec") {
			t.Errorf("check of %s: %+v", s.own, r)
		}
		for _, job := range []string{"product", s.own} {
			for _, r := range s.records(t, c, job) {
				if r.State != store.StateOK {
					t.Errorf("a run of %s of %s is %s: %s", job, s.own, r.State, r.Error)
				}
			}
		}
		for _, queue := range []string{"stoker-run", "stoker-refresh"} {
			for _, kind := range []string{"archived", "retry"} {
				if n := c.ZCard(t.Context(), "asynq:{"+s.queue(queue)+"}:"+kind).Val(); n != 0 {
					t.Errorf("%s: %d tasks of %s are in %s", s.own, n, queue, kind)
				}
			}
		}
	}
	purgeEach(t, vars, c, list)
}

// purgeEach purges one after the other, while those after it go on.
func purgeEach(t *testing.T, vars map[string]string, c *redis.Client, list []spaced) {
	t.Helper()
	for i, s := range list {
		before := keysOf(t, c, s)
		if r := stoker(t, vars, "purge", "--yes", "--config", s.file); r.status != exitFailed ||
			!strings.Contains(r.stderr, "1 daemon of ") || !strings.Contains(r.stderr, "--force") {
			t.Errorf("a purge beside the daemon of %s: %+v", s.own, r)
		}
		if now := keysOf(t, c, s); len(now) < len(before)/2 {
			t.Errorf("%s had %d keys and has %d", s.own, len(before), len(now))
		}
		if status := s.daemon.stop(os.Interrupt); status != exitOK {
			t.Errorf("the daemon of %s ended with status %d", s.own, status)
		}
		before = keysOf(t, c, s)
		if r := stoker(t, vars, "purge", "--values", "--config", s.file); r.status != exitOK ||
			!strings.Contains(r.stdout, "nothing was removed") || !maps.Equal(keysOf(t, c, s), before) {
			t.Errorf("a dry run: %+v", r)
		}
		// a worker is registered with Asynq for some moments after its end, if it was killed
		if r := stoker(t, vars, "purge", "--yes", "--values", "--config", s.file); r.status != exitOK {
			t.Fatalf("the purge of %s: %+v", s.own, r)
		}
		if left := keysOf(t, c, s); len(left) != 0 {
			t.Errorf("%s has left %v", s.own, left)
		}
		for _, other := range list[i+1:] {
			at := time.Now()
			eventually(t, time.Minute, "the others go on", func() (bool, error) {
				runs := other.records(t, c, "product")
				return len(runs) > 0 && runs[0].End.After(at) && c.Exists(t.Context(), other.own+":p:5").Val() == 1, nil
			})
			if n := len(other.records(t, c, other.own)); n < 2 {
				t.Errorf("%d records of %s are left", n, other.own)
			}
		}
	}
	if v := c.Get(t.Context(), "application").Val(); v != "x" {
		t.Errorf("the application's key is %q", v)
	}
}

// keysOf are the keys of a namespace, and of its jobs.
func keysOf(t *testing.T, c *redis.Client, s spaced) map[string]bool {
	t.Helper()
	found := make(map[string]bool)
	for _, key := range c.Keys(t.Context(), "*").Val() {
		own := strings.HasPrefix(key, s.key("")) && (s.namespace != "" || !strings.HasPrefix(key, "stoker:ns:")) &&
			key != "stoker:daemons" && key != "stoker:specs"
		if own || strings.HasPrefix(key, s.own+":") || strings.HasPrefix(key, "asynq:{"+s.queue("stoker-")) {
			found[key] = true
		}
	}
	return found
}

// Two specs without a namespace have no job in common: each is told of the other, tasks go back and forth and none is
// given up. When one is gone, the other says so.
func TestTwoSpecsInOneNamespaceAreTold(t *testing.T) {
	t.Parallel()
	vars := map[string]string{"PG": storetest.Postgres(t), "RD": storetest.Redis(t)}
	c := client(t, vars["RD"])
	var daemons []*process
	var files []string
	for _, own := range []string{"first", "second"} {
		vars["LISTEN"] = freeAddress(t)
		files = append(files, specFile(t, strings.ReplaceAll(`postgres: {url: "${PG}", max_connections: 3}
redis: {url: "${RD}"}
admin: {listen: "${LISTEN}"}
jobs:
  - {name: NAME, key: "NAME:{id}", query: "SELECT 1 AS id", schedule: "@every 1s"}
`, "NAME", own)))
		daemons = append(daemons, start(t, vars, "run", "--config", files[len(files)-1]))
	}
	for _, d := range daemons {
		eventually(t, time.Minute, "it is logged", func() (bool, error) {
			return strings.Contains(d.log.String(), "another spec is at work with no namespace"), nil
		})
	}
	eventually(t, time.Minute, "the page says so", func() (bool, error) {
		_, page, err := get(t, "http://"+vars["LISTEN"]+"/")
		return strings.Contains(page, "Specs are not kept apart") && strings.Contains(page, files[0]), err
	})
	for _, command := range []string{"check", "status"} {
		if r := stoker(t, vars, command, "--config", files[0]); r.status != exitOK ||
			!strings.Contains(r.stdout, files[1]+" on ") ||
			!strings.Contains(r.stdout, "has none of this spec's jobs") {
			t.Errorf("%s: %+v", command, r)
		}
	}
	if r := stoker(t, vars, "warm", "first", "--wait", "--config", files[0]); r.status != exitOK {
		t.Errorf("warm: %+v", r)
	}
	if n := c.ZCard(t.Context(), "asynq:{stoker-run}:archived").Val(); n != 0 {
		t.Errorf("%d tasks are archived", n)
	}
	daemons[1].stop(os.Interrupt)
	eventually(t, time.Minute, "it is logged that the other is gone", func() (bool, error) {
		return strings.Contains(daemons[0].log.String(), "no other spec gets in the way of this one any more"), nil
	})
	if n := strings.Count(daemons[0].log.String(), "another spec is at work"); n != 1 {
		t.Errorf("it was logged %d times", n)
	}
}

// A newer version raises the format under a daemon that runs, and before one starts. Broken by: a daemon that goes on
// writing, or ends without a word; a command that does its work all the same.
func TestNewerFormatIsRefused(t *testing.T) {
	t.Parallel()
	for name, field := range map[string]func(*redis.Client){
		"cache": func(c *redis.Client) { c.HSet(t.Context(), "stoker:epoch:postgres", "format", "3") },
		"queue": func(c *redis.Client) { c.Set(t.Context(), "stoker:format", "3", 0) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			vars := map[string]string{"PG": storetest.Postgres(t), "RD": storetest.Redis(t), "LISTEN": freeAddress(t)}
			c := client(t, vars["RD"])
			file := specFile(t, rolledSpec(0))
			d := start(t, vars, "run", "--config", file)
			eventually(t, time.Minute, "the daemon has run a job", func() (bool, error) {
				return len(records(t, c, "stays")) > 0, nil
			})
			ofCache, ofQueue := c.HGet(t.Context(), "stoker:epoch:postgres", "format").Val(), c.Get(t.Context(),
				"stoker:format").Val()
			if ofCache != "2" || ofQueue != "2" {
				t.Errorf("formats %q, %q", ofCache, ofQueue)
			}
			want := "newer Stoker keeps in the redis of the " + name + " has format 3"
			field(c)
			if status := d.wait(30 * time.Second); status != exitWrong || !strings.Contains(d.log.String(), want) {
				t.Errorf("the daemon ended with status %d:\n%s", status, d.log)
			}
			for _, line := range []string{"run", "status", "warm stays", "invalidate stays id=1", "verify", "resume",
				"purge --yes", "wait --timeout 5s"} {
				before := len(c.Keys(t.Context(), "*").Val())
				r := stoker(t, vars, append(strings.Fields(line), "--config", file)...)
				if r.status != exitWrong || !strings.Contains(r.stderr, want) {
					t.Errorf("%s: %+v", line, r)
				}
				if now := len(c.Keys(t.Context(), "*").Val()); now > before {
					t.Errorf("%s: %d keys became %d", line, before, now)
				}
			}
			if r := stoker(t, vars, "check", "--config", file); r.status != exitFailed ||
				!strings.Contains(r.stdout, want) {
				t.Errorf("check: %+v", r)
			}
			if r := stoker(t, vars, "purge", "--yes", "--force", "--config", file); r.status != exitOK {
				t.Errorf("purge: %+v", r)
			}
			if left := c.Keys(t.Context(), "stoker:*").Val(); len(left) != 0 {
				t.Errorf("left: %v", left)
			}
		})
	}
}

// Bad flags and a wrong name are answered in words.
func TestPurgeAndNamespaceInWords(t *testing.T) {
	t.Parallel()
	vars := map[string]string{"PG": storetest.Postgres(t), "RD": storetest.Redis(t)}
	file := specFile(t, spacedSpec("Shop", "127.0.0.1:0", "x"))
	if r := stoker(t, vars, "check", "--config", file); r.status != exitWrong ||
		!strings.Contains(r.stderr, "stoker.yaml:1:12: namespace") ||
		!strings.Contains(r.stderr, "1 to 32 of a-z, 0-9, - and _") {
		t.Errorf("%+v", r)
	}
	file = specFile(t, spacedSpec("shop", "127.0.0.1:8080", "x"))
	for _, line := range []string{"purge now", "purge --values=maybe", "purge --no"} {
		if r := stoker(t, vars, append(strings.Fields(line), "--config", file)...); r.status != exitWrong {
			t.Errorf("%s: %+v", line, r)
		}
	}
	stoker(t, vars, "purge", "--json", "--config", file).want(t, exitOK, `{
  "namespace": "shop",
  "removed": false,
  "daemons": [],
  "values": 0,
  "cache": 0,
  "queue": 0,
  "pending": 0
}
`, "")
}
