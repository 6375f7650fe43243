package main

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stokerhq/stoker/store/storetest"
)

// When the history of Postgres may have changed, what is cached may show commits
// that are lost. Broken by: a job that nobody asks for and that is not run again;
// one that is run again and again.
func TestPostgresRestartRunsEveryJobAgain(t *testing.T) {
	t.Parallel()
	w := newServers(t)
	storetest.Exec(t, w.vars["PG"], "CREATE TABLE item AS SELECT i AS id FROM generate_series(1, 50) i")
	spec := specFile(t, `postgres: {url: "${PG}"}
redis: {url: "${RD}"}
admin: {listen: "${LISTEN}"}
jobs:
  - {name: tick, key: "t:{id}", query: SELECT id FROM item, schedule: "@every 1s", ttl: 1h}
  - {name: once, key: "o:{id}", query: SELECT id FROM item, ttl: 1h}
`)
	d := start(t, w.vars, "run", "--config", spec)
	eventually(t, 20*time.Second, "both jobs complete", func() (bool, error) {
		return len(records(t, w.client, "once")) > 0 && completedSince(t, w.client, "tick", time.Time{}), nil
	})
	epoch := func() string { return w.client.HGet(t.Context(), "stoker:epoch:postgres", "epoch").Val() }
	first := epoch()
	// Monitoring resets statistics. Broken by: a statistic as a sign of another history.
	storetest.Exec(t, w.vars["PG"], "SELECT pg_stat_reset()", "SELECT pg_stat_reset_slru(NULL)",
		"SELECT pg_stat_reset_shared(kind) FROM unnest('{bgwriter,archiver,wal}'::text[]) AS kind")
	reset := time.Now()
	eventually(t, 20*time.Second, "the scheduled job is run after the reset", func() (bool, error) {
		return completedSince(t, w.client, "tick", reset), nil
	})
	if epoch() != first || len(records(t, w.client, "once")) != 1 {
		t.Errorf("a reset of statistics began epoch %s after %s", epoch(), first)
	}
	w.postgres.Stop()
	if err := w.postgres.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, 20*time.Second, "the job without a schedule is run again", func() (bool, error) {
		all := records(t, w.client, "once")
		return len(all) > 1 && all[0].Cause == "epoch" && fmt.Sprint(all[0].Epoch) == epoch() && epoch() != first, nil
	})
	if n := len(records(t, w.client, "once")); n != 2 {
		t.Errorf("%d runs", n)
	}
	if !strings.Contains(d.log.String(), "history of postgres has changed") {
		t.Error("the log does not say why")
	}
	d.stop(os.Interrupt)
}
