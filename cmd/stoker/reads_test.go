package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stokerhq/stoker/store/cache/info"
	"github.com/stokerhq/stoker/store/storetest"
)

// readsOf is what the API says of readers.
type readsOf struct {
	Hits    int64    `json:"hits"`
	Misses  int64    `json:"misses"`
	Own     int64    `json:"own_hits"`
	OwnMiss int64    `json:"own_misses"`
	Unknown string   `json:"unknown"`
	Ratio   *float64 `json:"ratio"`
}

// What readers look up is told to within 2 %, and Stoker's own lookups are not taken for theirs: on the Redis that also
// has the queue, with runs, refreshes, an audit, the dashboard and a command beside it.
//
// Broken by: lookups of ours that are not counted, or counted twice; a process that does not tell its part; scripts of
// Asynq's taken for readers.
func TestReadsAreMeasured(t *testing.T) {
	t.Parallel()
	w := newServers(t)
	server := storetest.OwnRedis(t)
	c := client(t, server.URL(0))
	w.vars["RD"] = server.URL(0)
	storetest.Exec(t, w.vars["PG"], "CREATE TABLE item AS SELECT i AS id, repeat('x', 50) AS v "+
		"FROM generate_series(1, 5000) i", "ALTER TABLE item ADD PRIMARY KEY (id)")
	spec := specFile(t, `postgres: {url: "${PG}"}
redis: {url: "${RD}"}
admin: {listen: "${LISTEN}"}
audit: {rate: 500/s}
jobs:
  - {name: item, key: "i:{id}", query: "SELECT id, v FROM item", schedule: "@every 2s", ttl: 1h,
     watch: [{table: item, key: {id: id}}]}
`)
	start(t, w.vars, "run", "--config", spec)
	url := "http://" + w.vars["LISTEN"]
	told := func() (r readsOf) {
		t.Helper()
		_, text, err := get(t, url+"/api/v1/reads")
		if err == nil {
			err = json.Unmarshal([]byte(text), &r)
		}
		if err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		return r
	}
	servers := info.NewReader(c)
	counted := func() int64 {
		t.Helper()
		nodes, err := servers.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return nodes[0].Hits + nodes[0].Misses
	}
	eventually(t, 30*time.Second, "all is warm", func() (bool, error) {
		return c.Exists(t.Context(), "i:5000").Val() == 1 && told().Own > 0, nil
	})
	alone, before := told(), counted()
	for i := range 200 { // refreshes
		storetest.Exec(t, w.vars["PG"], fmt.Sprintf("UPDATE item SET v = 'new' WHERE id = %d", 1+i*20))
		if i%50 == 0 {
			if _, _, err := get(t, url+"/queues/api/queues"); err != nil {
				t.Error(err)
			}
		}
	}
	eventually(t, 30*time.Second, "all is as in the database", func() (bool, error) {
		return stoker(t, w.vars, "verify", "--config", spec).status == exitOK, nil
	})
	time.Sleep(12 * time.Second) // two looks
	after, ours := told(), counted()-before
	if ours < 10_000 || after.Unknown != "" {
		t.Fatalf("Stoker has looked up %d keys: %+v", ours, after)
	}
	if n := after.Hits + after.Misses - alone.Hits - alone.Misses; n > ours/50 {
		t.Errorf("of %d lookups of Stoker's, %d are taken for readers'", ours, n)
	}
	hits, misses := read(t, c)
	time.Sleep(12 * time.Second)
	last := told()
	gotHits, gotMisses := last.Hits-after.Hits, last.Misses-after.Misses
	t.Logf("Stoker alone: %d lookups, %d told as readers'; readers: %d hits, %d misses, told %d and %d", ours,
		after.Hits+after.Misses-alone.Hits-alone.Misses, hits, misses, gotHits, gotMisses)
	for what, pair := range map[string][2]int64{"hits": {gotHits, hits}, "misses": {gotMisses, misses}} {
		if off := float64(pair[0]-pair[1]) / float64(pair[1]); off > 0.02 || off < -0.02 {
			t.Errorf("%d %s are told of %d", pair[0], what, pair[1])
		}
	}
	for path, want := range map[string]string{"/metrics": `stoker_cache_reads_total{result="hit"}`,
		"/": "of reads hit"} {
		eventually(t, 30*time.Second, path, func() (bool, error) {
			_, text, err := get(t, url+path)
			return strings.Contains(text, want), err
		})
	}
	r := stoker(t, w.vars, "status", "--config", spec)
	if !strings.Contains(r.stdout, "found their key in the last hour") {
		t.Errorf("%+v", r)
	}
}

// read is what an API node asks for: nine keys that are there, and one that is not.
func read(t *testing.T, c *redis.Client) (hits, misses int64) {
	t.Helper()
	for range 10_000 { // so many that what Stoker looks up within the last second counts little
		_, err := c.Pipelined(t.Context(), func(p redis.Pipeliner) error {
			for range 45 {
				p.Get(t.Context(), fmt.Sprint("i:", 1+rand.IntN(5000)))
			}
			for range 5 {
				p.Get(t.Context(), "nothing")
			}
			return nil
		})
		if err != nil && err != redis.Nil {
			t.Fatal(err)
		}
		hits, misses = hits+45, misses+5
	}
	return hits, misses
}
