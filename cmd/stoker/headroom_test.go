package main

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/cache/info"
	"github.com/stokerhq/stoker/store/storetest"
)

// Runs leave room in the cache: one of which that is known in advance is refused before it reads; one of which it is
// not ends; one that replaces in place is not refused; and check, preview and the job's record say why. Broken by: a
// guard that is not asked; one that counts what is there already; a task that is tried again at once.
func TestRunsLeaveRoom(t *testing.T) {
	t.Parallel()
	vars, _ := newTicks(t)
	cache := storetest.OwnRedis(t, "--maxmemory", "40mb", "--maxmemory-policy", "noeviction")
	vars["CACHE"] = cache.URL(0)
	text := func(rows int, more string) string {
		return specFile(t, fmt.Sprintf(`postgres: {url: "${PG}"}
redis: {url: "${CACHE}", queue_url: "${RD}"}
admin: {listen: "${LISTEN}"}
jobs:
  - {name: big, key: "b:{id}", query: "SELECT id, repeat('x', 1000) AS x FROM generate_series(1, %d) AS id"%s}
`, rows, more))
	}
	used := func() int64 {
		nodes, err := info.NewReader(client(t, vars["CACHE"])).Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return nodes[0].Used
	}
	const limit = 36 << 20
	// want demands an exit status and parts of what is said.
	want := func(status int, parts []string, args ...string) {
		t.Helper()
		r := stoker(t, vars, args...)
		said := r.status == status
		for _, part := range parts {
			said = said && strings.Contains(r.stdout+r.stderr, part)
		}
		if !said {
			t.Errorf("%q: want %d and %q, got %+v", args, status, parts, r)
		}
	}

	fits := text(15_000, "")
	want(0, nil, "warm", "big", "--local", "--config", fits)
	want(0, nil, "warm", "big", "--local", "--rewrite", "--config", fits)
	want(0, []string{"of which runs leave"}, "check", "--config", fits)

	grown := text(60_000, "")
	d := start(t, vars, "run", "--config", grown, "--roles", "worker")
	want(1, []string{"the run has ended, and what it wrote stays: redis uses "}, "warm", "big", "--wait", "--config",
		grown)
	if n := used(); n < limit-(1<<20) || n > limit+(3<<20) {
		t.Errorf("it ended at %d bytes of %d", n, limit)
	}
	all := records(t, client(t, vars["RD"]), "big")
	if all[0].State != store.StateFailed || !strings.Contains(all[0].Error, "redis.headroom") {
		t.Errorf("%+v", all[0])
	}
	if n := client(t, vars["CACHE"]).Exists(t.Context(), "b:1", "b:15000").Val(); n != 2 {
		t.Error("keys that were good are gone")
	}
	time.Sleep(2 * time.Second)
	if now := records(t, client(t, vars["RD"]), "big"); len(now) != len(all) {
		t.Errorf("it is tried again: %d runs, %d before", len(now), len(all))
	}
	d.stop(os.Interrupt)

	// the set is lost, and something else has taken its room
	c := client(t, vars["CACHE"])
	if err := c.FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	for i := range 30 {
		if err := c.Set(t.Context(), fmt.Sprint("other:", i), strings.Repeat("y", 1<<20-100), 0).Err(); err != nil {
			t.Fatal(err)
		}
	}
	const why = "the run was refused, as it would add about "
	want(1, []string{why}, "warm", "big", "--local", "--config", fits)
	if n := c.Exists(t.Context(), "b:1").Val(); n != 0 {
		t.Error("it has written")
	}
	want(1, []string{why}, "check", "--config", fits)
	want(0, []string{"a run would be refused now: job big: " + why, "a run writes about 15000 keys, "},
		"preview", "big", "--limit", "1", "--config", fits)
	want(1, []string{"evictable: true means nothing with maxmemory-policy noeviction"},
		"warm", "big", "--local", "--config", text(15_000, ", evictable: true"))
	if err := c.ConfigSet(t.Context(), "maxmemory-policy", "allkeys-random").Err(); err != nil {
		t.Fatal(err)
	}
	want(0, nil, "warm", "big", "--local", "--config", text(10_000, ", evictable: true"))
}
