package main

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stokerhq/stoker/store/storetest"
)

// A cache that was flushed, or started again without its data, is whole again although no schedule asks for it; the
// job of the highest priority is filled first, and then the cheap ones.
//
// Broken by: a loss that is seen in the next tick only, runs in the order of the spec.
func TestLostCacheIsFilledAgain(t *testing.T) {
	t.Parallel()
	server := storetest.OwnRedis(t)
	c := redis.NewClient(&redis.Options{Addr: server.Addr()})
	defer c.Close()
	vars := map[string]string{"PG": storetest.Postgres(t), "RD": server.URL(0)}
	spec := specFile(t, `postgres: {url: "${PG}", max_connections: 2}
redis: {url: "${RD}"}
admin: {listen: "127.0.0.1:0"}
defaults: {ttl: 24h}
jobs:
  - {name: large, key: "l:{id}", query: "SELECT i AS id, md5(i::text) AS v FROM generate_series(1, 190000) i"}
  - {name: small, key: "s:{id}", query: "SELECT i AS id, md5(i::text) AS v FROM generate_series(1, 9000) i"}
  - {name: first, key: "f:{id}", query: "SELECT i AS id, pg_sleep(0.001)::text AS v FROM generate_series(1, 1000) i",
     priority: 10}
`)
	d := start(t, vars, "run", "--config", spec)
	whole := func() (bool, error) {
		n, err := c.DBSize(t.Context()).Result()
		return n >= 200_000, err
	}
	eventually(t, time.Minute, "the cache is whole at first", whole)
	time.Sleep(4 * time.Second) // the runs end, and the scheduler knows what they took
	for _, loss := range []struct {
		name   string
		strike func() error
	}{
		{"flushed", func() error { return c.FlushAll(t.Context()).Err() }},
		{"started again", func() error { server.Kill(); return server.Start(t.Context()) }},
	} {
		if r := stoker(t, vars, "wait", "--config", spec, "--timeout", "1m"); r.status != exitOK {
			t.Errorf("stoker wait: %d, %s", r.status, r.stderr)
		}
		logged := len(d.log.String())
		begun := time.Now()
		if err := loss.strike(); err != nil {
			t.Fatal(err)
		}
		eventually(t, time.Minute, "the cache that was "+loss.name+" is whole", whole)
		t.Logf("%s: whole after %s", loss.name, time.Since(begun).Round(time.Millisecond))
		time.Sleep(3 * time.Second)
		text := d.log.String()[logged:]
		var order []string
		for line := range strings.Lines(text) {
			if strings.Contains(line, "run enqueued: ") {
				_, job, _ := strings.Cut(line, "job=")
				order = append(order, strings.Fields(job)[0])
			}
		}
		if got := strings.Join(order, " "); got != "first small large" {
			t.Errorf("%s: enqueued in the order %q", loss.name, got)
		}
		if !strings.Contains(text, "the cache was lost") {
			t.Errorf("%s: the log does not say it:\n%s", loss.name, text)
		}
	}
	if status := d.stop(syscall.SIGTERM); status != exitOK {
		t.Errorf("exit status %d", status)
	}
}
