package main

import (
	"strings"
	"testing"
	"time"

	"github.com/stokerhq/stoker/store/storetest"
)

// Broken by: a run that is not paced, one that does not end, a check that says nothing of a run that cannot end.
func TestMaxRate(t *testing.T) {
	t.Parallel()
	vars := map[string]string{"PG": storetest.Postgres(t), "RD": storetest.Redis(t)}
	spec := specFile(t, `postgres: {url: "${PG}"}
redis: {url: "${RD}"}
jobs:
  - {name: paced, key: "p:{id}", query: "SELECT i AS id FROM generate_series(1, 3000) i", max_rate: 1500}
  - {name: endless, key: "e:{id}", query: "SELECT i AS id FROM generate_series(1, 3000) i", max_rate: 10, timeout: 10s}
`)
	run := func(args ...string) result { t.Helper(); return stoker(t, vars, append(args, "--config", spec)...) }
	begun := time.Now()
	if r := run("warm", "paced", "--local"); r.status != exitOK {
		t.Fatalf("%+v", r)
	}
	if took := time.Since(begun); took < 1900*time.Millisecond {
		t.Errorf("3000 rows at 1500 a second took %s", took)
	}
	r, want := run("check"), "about 3000 rows take 5m0s at max_rate 10, and the timeout is 10s"
	if strings.Count(r.stdout, "max_rate") != 1 || !strings.Contains(r.stdout, want) {
		t.Errorf("%s", r.stdout)
	}
}
