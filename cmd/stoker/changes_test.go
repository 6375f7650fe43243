package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
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
changes: {source: "${SOURCE}", run_above: 50}
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
	"CREATE TABLE product (id int PRIMARY KEY, supplier_id int, name text)", "ALTER TABLE product REPLICA IDENTITY FULL",
	"INSERT INTO supplier SELECT i, 'supplier ' || i FROM generate_series(1, 10) i",
	"INSERT INTO product SELECT i, 1 + i % 10, 'product ' || i FROM generate_series(1, 100) i",
}

// follow starts daemons that follow changes, and waits until one does and every
// job has run.
func follow(t *testing.T, w *world, n int) []*process {
	t.Helper()
	storetest.Exec(t, w.vars["PG"], changesSQL...)
	spec := specFile(t, changesSpec)
	var daemons []*process
	for range n {
		w.vars["LISTEN"] = freeAddress(t)
		daemons = append(daemons, start(t, w.vars, "run", "--config", spec))
	}
	w.awaitRuns(t, 1)
	eventually(t, 10*time.Second, "changes are followed", func() (bool, error) {
		for _, d := range daemons {
			if strings.Contains(d.log.String(), "changes are followed") {
				return true, nil
			}
		}
		return false, nil
	})
	return daemons
}

// awaitRuns waits until every job that watches has completed n runs.
func (w *world) awaitRuns(t *testing.T, n int) {
	t.Helper()
	eventually(t, 20*time.Second, fmt.Sprintf("every job has run %d times", n), func() (bool, error) {
		for _, job := range []string{"product", "by-supplier", "total"} {
			if len(records(t, w.client, job)) < n {
				return false, nil
			}
		}
		return true, nil
	})
}

// becomes waits until keys have values; "" is no key.
func (w *world) becomes(t *testing.T, want map[string]string) {
	t.Helper()
	for key, value := range want {
		eventually(t, 5*time.Second, key+" is "+value, func() (bool, error) {
			got, err := w.client.Get(t.Context(), key).Result()
			if err == redis.Nil {
				got, err = "", nil
			}
			return got == value, err
		})
	}
}

func TestChangesReachTheCache(t *testing.T) {
	for _, source := range []string{"wal"} {
		t.Run(source, func(t *testing.T) {
			w := newServers(t)
			w.vars["SOURCE"] = source
			d := follow(t, w, 1)[0]
			for _, step := range []struct {
				sql  string
				want map[string]string
			}{
				{"UPDATE product SET name = 'new' WHERE id = 7", map[string]string{"product:7": `{"id":7,"name":"new","supplier":"supplier 8"}`}},
				{"UPDATE supplier SET name = 'Eight' WHERE id = 8", map[string]string{
					"product:7": `{"id":7,"name":"new","supplier":"Eight"}`, "product:97": `{"id":97,"name":"product 97","supplier":"Eight"}`}},
				{"DELETE FROM product WHERE supplier_id = 3 AND id > 2", map[string]string{"product:12": "", "supplier:3": `[{"supplier_id":3,"id":2,"name":"product 2"}]`, "total": "91"}},
				{"UPDATE product SET supplier_id = 5 WHERE id = 2", map[string]string{"supplier:3": "", "product:2": `{"id":2,"name":"product 2","supplier":"supplier 5"}`}},
				{"INSERT INTO product VALUES (2000, 3, 'fresh')", map[string]string{"product:2000": `{"id":2000,"name":"fresh","supplier":"supplier 3"}`, "supplier:3": `[{"supplier_id":3,"id":2000,"name":"fresh"}]`, "total": "92"}},
				{"UPDATE product SET id = 3000 WHERE id = 2000", map[string]string{"product:2000": "", "product:3000": `{"id":3000,"name":"fresh","supplier":"supplier 3"}`}},
				{"UPDATE product SET name = 'all'", map[string]string{"product:50": `{"id":50,"name":"all","supplier":"supplier 1"}`}}, // more than run_above
				{"TRUNCATE product", map[string]string{"product:50": "", "supplier:1": "", "total": "0"}},
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

// latency measures how long commits take to be readable, one at a time.
func TestZLatency(t *testing.T) {
	w := newServers(t)
	w.vars["SOURCE"] = "wal"
	d := follow(t, w, 1)[0]
	time.Sleep(4 * time.Second)
	conn, err := pgx.Connect(t.Context(), w.vars["PG"])
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	var all []time.Duration
	for i := range 200 {
		name := fmt.Sprint("n", i)
		if _, err := conn.Exec(t.Context(), "UPDATE product SET name = $1 WHERE id = 7", name); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		for !strings.Contains(w.client.Get(t.Context(), "product:7").Val(), `"`+name+`"`) {
			time.Sleep(200 * time.Microsecond)
		}
		all = append(all, time.Since(began))
		time.Sleep(time.Duration(60+i%17) * time.Millisecond)
	}
	slices.Sort(all)
	t.Log("p50", all[100], "p90", all[180], "p99", all[198], "max", all[199], "min", all[0])
	d.stop(os.Interrupt)
}

// A worker that is killed with refreshes in hand does not cost the minute that Asynq
// takes to notice: another one has the keys fresh in a few seconds. So does a
// follower that is killed: another replica takes over, and runs what it may have
// missed.
func TestKilledDaemonIsReplaced(t *testing.T) {
	w := newServers(t)
	w.vars["SOURCE"] = "wal"
	daemons := follow(t, w, 2)
	w.awaitRuns(t, 2)
	for i, d := range daemons {
		lock := w.lock(t, "product") // refreshes are taken, and hang
		storetest.Exec(t, w.vars["PG"], fmt.Sprintf("UPDATE supplier SET name = 'S%d' WHERE id = 8", i))
		eventually(t, 5*time.Second, "a refresh is in hand", func() (bool, error) {
			n, err := w.client.LLen(t.Context(), "asynq:{stoker-refresh}:active").Result()
			return n > 0, err
		})
		if status := d.stop(syscall.SIGKILL); status == 0 {
			t.Error("a killed daemon ended in order")
		}
		lock()
		began := time.Now()
		eventually(t, 15*time.Second, "the key is fresh", func() (bool, error) {
			v, err := w.client.Get(t.Context(), "product:7").Result()
			return v == fmt.Sprintf(`{"id":7,"name":"product 7","supplier":"S%d"}`, i), err
		})
		t.Logf("fresh %s after the kill", time.Since(began))
		if i == 0 {
			w.vars["LISTEN"] = freeAddress(t)
			daemons[0] = start(t, w.vars, "run", "--config", specFile(t, changesSpec))
			eventually(t, 10*time.Second, "a daemon is ready", func() (bool, error) { return strings.Contains(daemons[0].log.String(), "stoker is running"), nil })
		}
	}
	daemons[0].stop(os.Interrupt)
}
