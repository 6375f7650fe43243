package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"

	"github.com/stokerhq/stoker/store/storetest"
)

// No tick comes to the rescue, and no value lives too short.
const changesSpec = `postgres: {url: "${PG}"}
redis: {url: "${RD}"}
admin: {listen: "${LISTEN}"}
changes: {CHANGES, run_above: 50}
defaults: {ttl: 1h, stale_grace: 10m}
jobs:
  - name: product
    query: SELECT p.id, p.name, s.name AS supplier FROM product p JOIN supplier s ON s.id = p.supplier_id
    key: "product:{id}"
    watch:
      - {table: product, key: {id: id}}
      - {table: supplier, column: id, keys: "SELECT id FROM product WHERE supplier_id = ANY($1)"}
  - name: by-supplier
    query: SELECT supplier_id, id, name FROM product ORDER BY supplier_id, id
    key: "supplier:{supplier_id}"
    value: rows
    watch: [{table: product, key: {supplier_id: supplier_id}}]
  - name: total
    query: SELECT count(*) AS n FROM product
    key: "total"
    value: scalar
    watch: [{table: product}]
  - {name: plain, query: "SELECT id, name FROM supplier", key: "plain:{id}"}
`

var changesSQL = []string{
	"CREATE TABLE supplier (id int PRIMARY KEY, name text)",
	"CREATE TABLE product (id int PRIMARY KEY, supplier_id int, name text)",
	"ALTER TABLE product REPLICA IDENTITY FULL",
	"INSERT INTO supplier SELECT i, 'supplier ' || i FROM generate_series(1, 10) i",
	"INSERT INTO product SELECT i, 1 + i % 10, 'product ' || i FROM generate_series(1, 100) i",
}

// follow starts daemons of the given roles, and waits until one follows changes and
// every job has run.
func follow(t *testing.T, w *world, feed string, roles ...string) []*process {
	t.Helper()
	storetest.Exec(t, w.vars["PG"], changesSQL...)
	w.vars["LISTEN"] = freeAddress(t)
	spec := specFile(t, strings.Replace(changesSpec, "CHANGES", feed, 1))
	if strings.Contains(feed, "outbox") {
		if r := stoker(t, w.vars, "outbox", "install", "--apply", "--config", spec); r.status != 0 {
			t.Fatalf("%+v", r)
		}
	}
	var daemons []*process
	for _, r := range roles {
		daemons = append(daemons, start(t, w.vars, "run", "--config", spec, "--roles", r))
	}
	eventually(t, 10*time.Second, "changes are followed", func() (bool, error) {
		for _, d := range daemons {
			if strings.Contains(d.log.String(), "changes are followed") {
				return true, nil
			}
		}
		return false, nil
	})
	w.awaitRuns(t)
	return daemons
}

// awaitRuns waits until every job that watches has run in the epoch that it is.
func (w *world) awaitRuns(t *testing.T) {
	t.Helper()
	eventually(t, 20*time.Second, "every job has run in this epoch", func() (bool, error) {
		epoch := w.client.HGet(t.Context(), "stoker:epoch:postgres", "epoch").Val()
		for _, job := range []string{"product", "by-supplier", "total"} {
			if all := records(t, w.client, job); len(all) == 0 || fmt.Sprint(all[0].Epoch) != epoch {
				return false, nil
			}
		}
		return true, nil
	})
}

// becomes waits until keys have values; "" is no key.
func (w *world) becomes(t *testing.T, want map[string]string) {
	t.Helper()
	w.becomesWithin(t, 5*time.Second, want)
}

func (w *world) becomesWithin(t *testing.T, limit time.Duration, want map[string]string) {
	t.Helper()
	for key, value := range want {
		eventually(t, limit, key+" is "+value, func() (bool, error) {
			got, err := w.client.Get(t.Context(), key).Result()
			if err == redis.Nil {
				got, err = "", nil
			}
			return got == value, err
		})
	}
}

func TestChangesReachTheCache(t *testing.T) {
	t.Parallel()
	for _, source := range []string{"wal", "outbox"} {
		t.Run(source, func(t *testing.T) {
			w := newServers(t)
			d := follow(t, w, "source: "+source, "scheduler,worker,changes")[0]
			for _, step := range []struct {
				sql  string
				want map[string]string
			}{
				{"UPDATE product SET name = 'new' WHERE id = 7",
					map[string]string{"product:7": `{"id":7,"name":"new","supplier":"supplier 8"}`}},
				{"UPDATE supplier SET name = 'Eight' WHERE id = 8", map[string]string{
					"product:7":  `{"id":7,"name":"new","supplier":"Eight"}`,
					"product:97": `{"id":97,"name":"product 97","supplier":"Eight"}`}},
				{"DELETE FROM product WHERE supplier_id = 3 AND id > 2",
					map[string]string{"product:12": "", "supplier:3": `[{"supplier_id":3,"id":2,"name":"product 2"}]`,
						"total": "91"}},
				{"UPDATE product SET supplier_id = 5 WHERE id = 2",
					map[string]string{"supplier:3": "",
						"product:2": `{"id":2,"name":"product 2","supplier":"supplier 5"}`}},
				{"INSERT INTO product VALUES (2000, 3, 'fresh')",
					map[string]string{"product:2000": `{"id":2000,"name":"fresh","supplier":"supplier 3"}`,
						"supplier:3": `[{"supplier_id":3,"id":2000,"name":"fresh"}]`, "total": "92"}},
				{"UPDATE product SET id = 3000 WHERE id = 2000",
					map[string]string{"product:2000": "",
						"product:3000": `{"id":3000,"name":"fresh","supplier":"supplier 3"}`}},
				// more than run_above
				{"UPDATE product SET name = 'all'",
					map[string]string{"product:50": `{"id":50,"name":"all","supplier":"supplier 1"}`}},
				{"INSERT INTO product VALUES (4000, 10, 'unseen')",
					map[string]string{"product:4000": `{"id":4000,"name":"unseen","supplier":"supplier 10"}`,
						"total": "93"}},
				// no run has seen it
				{"TRUNCATE product", map[string]string{"product:50": "", "supplier:1": "", "total": "0",
					"product:4000": "", "supplier:11": ""}},
			} {
				storetest.Exec(t, w.vars["PG"], step.sql)
				w.becomes(t, step.want)
			}
			if n := len(records(t, w.client, "plain")); n != 1 {
				t.Errorf("a job that watches nothing was run %d times", n)
			}
			d.stop(os.Interrupt)
		})
	}
}

// Broken by: a migration that takes one table away, and with it the freshness of the
// jobs that do not need it.
func TestLostTable(t *testing.T) {
	t.Parallel()
	for _, source := range []string{"wal", "outbox"} {
		t.Run(source, func(t *testing.T) {
			t.Parallel()
			w := newServers(t)
			d := follow(t, w, "source: "+source, "scheduler,worker,changes,admin")[0]
			leftOut := func(job string) func() (bool, error) {
				return func() (bool, error) {
					_, metrics, err := get(t, "http://"+w.vars["LISTEN"]+"/metrics")
					return strings.Contains(metrics, "stoker_changes_left_out{job=\""+job+"\"} 1"), err
				}
			}
			storetest.Exec(t, w.vars["PG"], "DROP TABLE supplier")
			eventually(t, 30*time.Second, "the job that watches it is left out", leftOut("product"))
			storetest.Exec(t, w.vars["PG"], "INSERT INTO product VALUES (2000, 11, 'fresh')")
			w.becomes(t, map[string]string{"total": "101",
				"supplier:11": `[{"supplier_id":11,"id":2000,"name":"fresh"}]`})
			if others, _ := leftOut("total")(); others ||
				!strings.Contains(d.log.String(), "the watched table supplier does not exist") {
				t.Error("a job that does not watch the table is left out, or nothing says why the other is")
			}
			storetest.Exec(t, w.vars["PG"], "CREATE TABLE supplier (id int PRIMARY KEY, name text)",
				"INSERT INTO supplier SELECT i, 'again ' || i FROM generate_series(1, 10) i")
			if source == "outbox" {
				spec := specFile(t, strings.Replace(changesSpec, "CHANGES", "source: outbox", 1))
				if r := stoker(t, w.vars, "outbox", "install", "--apply", "--config", spec); r.status != 0 {
					t.Fatalf("%+v", r)
				}
			}
			eventually(t, 30*time.Second, "the job is followed again",
				func() (bool, error) { left, err := leftOut("product")(); return !left, err })
			storetest.Exec(t, w.vars["PG"], "UPDATE supplier SET name = 'Eight' WHERE id = 8")
			w.becomes(t, map[string]string{"product:7": `{"id":7,"name":"product 7","supplier":"Eight"}`})
			d.stop(os.Interrupt)
		})
	}
}

// A worker that is killed with refreshes in hand does not cost the minute that Asynq takes to
// notice.
func TestKilledWorkerIsReplaced(t *testing.T) {
	t.Parallel()
	w := newServers(t)
	storetest.Exec(t, w.vars["PG"], changesSQL...)
	w.vars["LISTEN"] = freeAddress(t)
	spec := specFile(t, strings.Replace(changesSpec, "CHANGES", "source: none", 1))
	update := func(name string) {
		storetest.Exec(t, w.vars["PG"], "UPDATE product SET name = '"+name+"' WHERE id = 7")
		if r := stoker(t, w.vars, "invalidate", "product", "id=7", "--config", spec); r.status != 0 {
			t.Fatalf("%+v", r)
		}
	}
	scheduler, worker := start(t, w.vars, "run", "--config", spec, "--roles", "scheduler"),
		start(t, w.vars, "run", "--config", spec, "--roles", "worker")
	w.awaitRuns(t)
	unlock := w.lock(t, "supplier")
	update("new")
	eventually(t, 5*time.Second, "a refresh is in hand", func() (bool, error) {
		n, err := w.client.LLen(t.Context(), "asynq:{stoker-refresh}:active").Result()
		return n > 0, err
	})
	if status := worker.stop(syscall.SIGKILL); status == 0 {
		t.Error("a killed daemon ended in order")
	}
	began := time.Now()
	unlock()
	spare := start(t, w.vars, "run", "--config", spec, "--roles", "worker")
	w.becomesWithin(t, 15*time.Second, map[string]string{"product:7": `{"id":7,"name":"new","supplier":"supplier 8"}`})
	t.Logf("fresh %s after the kill", time.Since(began).Round(time.Millisecond))
	update("again") // the same key: its first task is still in the dead worker's hand
	w.becomesWithin(t, 5*time.Second, map[string]string{"product:7": `{"id":7,"name":"again","supplier":"supplier 8"}`})
	spare.stop(os.Interrupt)
	scheduler.stop(os.Interrupt)
}

// Another replica takes over within five seconds, and what was committed meanwhile is
// not missed: with a temporary slot the watched jobs are run, with a permanent one
// the slot has kept it.
func TestKilledFollowerIsReplaced(t *testing.T) {
	t.Parallel()
	for slot, reruns := range map[string]bool{"temporary": true, "permanent": false} {
		t.Run(slot, func(t *testing.T) {
			w := newServers(t)
			d := follow(t, w, "source: wal, unbounded_wal: true, slot: "+slot, "scheduler,worker,changes",
				"scheduler,worker,changes")
			if !strings.Contains(d[0].log.String(), "changes are followed") {
				d[0], d[1] = d[1], d[0]
			}
			ran := len(records(t, w.client, "product"))
			unlock := w.lock(t, "supplier")
			storetest.Exec(t, w.vars["PG"], "UPDATE product SET name = 'in hand' WHERE id = 8")
			eventually(t, 5*time.Second, "its key is fenced and being loaded", func() (bool, error) {
				return w.client.HExists(t.Context(), "stoker:{cache}:book", "product:8").Result()
			})
			d[0].stop(syscall.SIGKILL)
			unlock()
			began := time.Now()
			storetest.Exec(t, w.vars["PG"], "UPDATE product SET name = 'missed' WHERE id = 7")
			eventually(t, 10*time.Second, "the other daemon follows",
				func() (bool, error) { return strings.Contains(d[1].log.String(), "changes are followed"), nil })
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("taken over after %s", took)
			}
			w.becomes(t, map[string]string{
				"product:7": `{"id":7,"name":"missed","supplier":"supplier 8"}`,
				"product:8": `{"id":8,"name":"in hand","supplier":"supplier 9"}`})
			ranAgain := func() (bool, error) { return len(records(t, w.client, "product")) > ran, nil }
			if reruns { // the record comes after the values
				eventually(t, 5*time.Second, "the job was run again", ranAgain)
			} else if again, _ := ranAgain(); again {
				t.Error("the job was run again, though the slot has kept what was missed")
			}
			d[1].stop(os.Interrupt)
		})
	}
}

// lock keeps readers from a table until it is given back.
func (w *world) lock(t *testing.T, table string) (unlock func()) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), w.vars["PG"])
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), "BEGIN; LOCK TABLE "+table); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := conn.Close(context.Background()); err != nil {
			t.Error(err)
		}
	}
}
