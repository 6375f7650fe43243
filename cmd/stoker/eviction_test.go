package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stokerhq/stoker/store/storetest"
)

// A cache that evicts is told at once, wherever people look, and filled again when there is room. Broken by: looks that
// do not ask what the server counts; an eviction that is told by one process alone; a refill while memory is full, or
// none at all.
func TestEvictionIsTold(t *testing.T) {
	t.Parallel()
	w := newServers(t)
	cache := storetest.OwnRedis(t, "--maxmemory", "24mb", "--maxmemory-policy", "volatile-ttl")
	queue := storetest.OwnRedis(t)
	c := client(t, cache.URL(0))
	w.vars["RD"], w.vars["QUEUE"] = cache.URL(0), queue.URL(0)
	storetest.Exec(t, w.vars["PG"], "CREATE TABLE item AS SELECT i AS id, "+
		"repeat('x', 500) AS v FROM generate_series(1, 5000) i")
	spec := specFile(t, `postgres: {url: "${PG}"}
redis: {url: "${RD}", queue_url: "${QUEUE}"}
admin: {listen: "${LISTEN}"}
jobs: [{name: item, key: "i:{id}", query: "SELECT id, v FROM item", schedule: "0 0 1 1 *", ttl: 1h}]
`)
	d := start(t, w.vars, "run", "--config", spec)
	url := "http://" + w.vars["LISTEN"]
	here := func() int { return int(c.Exists(t.Context(), ids()...).Val()) }
	eventually(t, 30*time.Second, "all is warm", func() (bool, error) { return here() == 5000, nil })
	body := func(path string) string {
		_, text, err := get(t, url+path)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	filler := strings.Repeat("f", 100_000)
	begun := time.Now()
	for i := 0; here() > 3000; i++ {
		if err := c.Set(t.Context(), fmt.Sprint("filler:", i), filler, 0).Err(); err != nil {
			t.Fatal(err)
		}
		if i == 0 || here() == 5000 {
			begun = time.Now()
		}
	}
	eventually(t, 10*time.Second, "the log says so", func() (bool, error) {
		return strings.Contains(d.log.String(), "redis evicts keys"), nil
	})
	t.Logf("told %s after the first key", time.Since(begun).Round(time.Millisecond))
	for path, want := range map[string]string{"/metrics": "stoker_cache_evicting 1",
		"/api/v1/jobs": `"of":"memory"`, "/readyz": "but the cache's Redis has evicted", "/": "Keys are evicted"} {
		eventually(t, 10*time.Second, path, func() (bool, error) { return strings.Contains(body(path), want), nil })
	}
	if r := stoker(t, w.vars, "status", "--config", spec); !strings.Contains(r.stdout, "raise maxmemory") {
		t.Errorf("%+v", r)
	}
	told := "what is missing does not fit"
	eventually(t, 30*time.Second, told, func() (bool, error) { return strings.Contains(d.log.String(), told), nil })
	if n := strings.Count(d.log.String(), "redis evicts keys"); n != 1 || here() > 3000 {
		t.Errorf("%d lines, %d keys", n, here())
	}
	for i := range 250 {
		c.Del(t.Context(), fmt.Sprint("filler:", i))
	}
	gone := int(c.Exists(t.Context(), "filler:0").Val())
	for i := 0; i < 40; i++ { // an eviction that ends with room
		c.Set(t.Context(), fmt.Sprint("short:", i), filler, 10*time.Minute)
	}
	c.ConfigSet(t.Context(), "maxmemory", "4mb")
	c.Set(t.Context(), "short:41", "x", 10*time.Minute)
	c.ConfigSet(t.Context(), "maxmemory", "24mb")
	eventually(t, 60*time.Second, "what fits is filled again", func() (bool, error) { return here() == 5000, nil })
	if !strings.Contains(d.log.String(), "keys were evicted, and fit again") || gone != 0 {
		t.Error("it was not the refill")
	}
	eventually(t, 10*time.Second, "no more is said", func() (bool, error) {
		return strings.Contains(body("/metrics"), "stoker_cache_evicting 0") && body("/readyz") == "ready\n" &&
			!strings.Contains(body("/"), "Keys are evicted"), nil
	})
}

func ids() (keys []string) {
	for i := range 5000 {
		keys = append(keys, fmt.Sprint("i:", i+1))
	}
	return keys
}
