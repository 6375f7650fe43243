package main

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"

	"github.com/stokerhq/stoker/store/storetest"
)

// Postgres fails over to a standby that lags. What was committed, cached and lost
// must go from the cache, and what the new primary commits is followed. Broken by:
// positions and clocks of the old history, which are higher than the new ones.
func TestPostgresFailover(t *testing.T) {
	t.Parallel()
	for _, slot := range []string{"temporary", "permanent"} {
		t.Run(slot, func(t *testing.T) {
			w := newServers(t)
			primary, url := w.postgres, w.vars["PG"]
			f := newFront(t, primary.Addr(), copyAll)
			w.vars["PG"] = strings.Replace(url, primary.Addr(), f.address, 1)
			d := follow(t, w, "source: wal, unbounded_wal: true, slot: "+slot, "scheduler,worker,changes")[0]
			standby, err := primary.StartStandby(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := standby.Close(); err != nil {
					t.Error(err)
				}
			})
			storetest.Exec(t, w.vars["PG"], "UPDATE product SET name = 'kept' WHERE id = 6")
			eventually(t, 10*time.Second, "the standby follows", func() (bool, error) {
				return holds(t, standby.URL("postgres"), "SELECT count(*) = 1 FROM product WHERE name = 'kept'"), nil
			})
			storetest.Exec(t, standby.URL("postgres"), "ALTER SYSTEM SET primary_conninfo = ''",
				"SELECT pg_reload_conf()")
			eventually(t, 10*time.Second, "the standby lags", func() (bool, error) {
				return holds(t, url, "SELECT count(*) = 0 FROM pg_stat_replication WHERE application_name = "+
					"'walreceiver'"), nil
			})
			storetest.Exec(t, w.vars["PG"], "UPDATE product SET name = 'lost' WHERE id IN (7, 8, 9)",
				"INSERT INTO product VALUES (2000, 11, 'lost')")
			w.becomes(t, map[string]string{"product:6": `{"id":6,"name":"kept","supplier":"supplier 7"}`,
				"product:7": `{"id":7,"name":"lost","supplier":"supplier 8"}`, "total": "101"})

			primary.Kill()
			storetest.Exec(t, standby.URL("postgres"), "SELECT pg_promote()")
			began := time.Now()
			f.leadTo(standby.Addr())
			storetest.Exec(t, standby.URL("postgres"), "UPDATE product SET name = 'new' WHERE id = 9")
			w.becomesWithin(t, 20*time.Second, map[string]string{"product:7": `{"id":7,"name":"product 7","supplier":"supplier 8"}`, "product:8": `{"id":8,"name":"product 8","supplier":"supplier 9"}`,
				"product:9": `{"id":9,"name":"new","supplier":"supplier 10"}`,
				"product:6": `{"id":6,"name":"kept","supplier":"supplier 7"}`, "total": "100", "supplier:11": "",
				"product:2000": ""})
			t.Logf("right again %s after the failover", time.Since(began).Round(time.Millisecond))
			storetest.Exec(t, w.vars["PG"], "UPDATE product SET name = 'followed' WHERE id = 7")
			w.becomes(t, map[string]string{"product:7": `{"id":7,"name":"followed","supplier":"supplier 8"}`})
			d.stop(os.Interrupt)
		})
	}
}

// holds reports whether the one value of a query is true.
func holds(t *testing.T, url, sql string) (yes bool) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if err := conn.QueryRow(t.Context(), sql).Scan(&yes); err != nil {
		t.Fatal(err)
	}
	return yes
}

// Redis fails over to a replica that lags: it has older values, and lacks fences.
func TestRedisFailover(t *testing.T) {
	t.Parallel()
	w := newServers(t)
	f := newFront(t, w.redis.Addr(), copyAll)
	w.vars["RD"] = "redis://" + f.address + "/0"
	d := follow(t, w, "source: wal", "scheduler,worker,changes")[0]
	replica := storetest.OwnRedis(t, "--replicaof", strings.Replace(w.redis.Addr(), ":", " ", 1))
	other := client(t, replica.URL(0))
	value := func(c *redis.Client) func() (bool, error) {
		return func() (bool, error) {
			got, err := c.Get(t.Context(), "product:7").Result()
			return got == `{"id":7,"name":"product 7","supplier":"supplier 8"}`, err
		}
	}
	eventually(t, 10*time.Second, "the replica has all", value(other))
	if err := other.ReplicaOf(t.Context(), "NO", "ONE").Err(); err != nil {
		t.Fatal(err)
	}
	storetest.Exec(t, w.vars["PG"], "UPDATE product SET name = 'new' WHERE id = 7", "DELETE FROM product WHERE id = 8")
	w.becomes(t, map[string]string{"product:7": `{"id":7,"name":"new","supplier":"supplier 8"}`, "product:8": "",
		"total": "99"})

	w.redis.Kill()
	began := time.Now()
	f.leadTo(replica.Addr())
	w.client = other
	if old, err := value(other)(); !old || err != nil {
		t.Fatalf("the replica does not lag: %v", err)
	}
	w.becomesWithin(t, 25*time.Second, map[string]string{"product:7": `{"id":7,"name":"new","supplier":"supplier 8"}`,
		"product:8": "", "total": "99"})
	t.Logf("right again %s after the failover", time.Since(began).Round(time.Millisecond))
	storetest.Exec(t, w.vars["PG"], "UPDATE product SET name = 'followed' WHERE id = 7")
	w.becomesWithin(t, 10*time.Second, map[string]string{"product:7": `{"id":7,"name":"followed","supplier":"supplier 8"}`})
	d.stop(os.Interrupt)
}
