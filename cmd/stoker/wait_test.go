package main

import (
	"encoding/json"
	"testing"

	"github.com/stokerhq/stoker/store/storetest"
	"github.com/stokerhq/stoker/web/warmz"
)

// Broken by: a time-out that ends well, a report of jobs that were not named, a wait that gives up where no server
// answers yet.
func TestWait(t *testing.T) {
	t.Parallel()
	vars := map[string]string{"PG": storetest.Postgres(t), "RD": storetest.Redis(t)}
	spec := specFile(t, `postgres: {url: "${PG}"}
redis: {url: "${RD}"}
jobs:
  - {name: some, key: "s:{id}", query: "SELECT i AS id FROM generate_series(1, 1000) i"}
  - {name: never, key: "n:{id}", query: "SELECT i AS id FROM generate_series(1, 1000) i"}
`)
	run := func(args ...string) result { t.Helper(); return stoker(t, vars, append(args, "--config", spec)...) }
	if r := run("wait", "some", "--timeout", "700ms"); r.status != exitFailed {
		t.Errorf("nothing was run: %+v", r)
	}
	if r := run("warm", "some", "--local"); r.status != exitOK {
		t.Fatalf("%+v", r)
	}
	r := run("wait", "some", "--json")
	var report warmz.Report
	if err := json.Unmarshal([]byte(r.stdout), &report); err != nil || r.status != exitOK || len(report.Jobs) != 1 ||
		report.Share != 1 || report.Error <= 0 || report.Error > 0.01 {
		t.Errorf("%+v %v", r, err)
	}
	run("wait", "--timeout", "700ms").want(t, exitFailed, "50 % warm (± 0.4 at 95 %): never: it has never been run\n",
		"50 % warm (± 0.4 at 95 %): never: it has never been run\n"+
			"stoker: not warm to 99 % within 700ms: never: it has never been run\n")
	for _, bad := range [][]string{{"--warm", "0.99"}, {"--warm", "101%"}, {"--timeout", "0s"}, {"nonesuch"}} {
		if r := run(append([]string{"wait"}, bad...)...); r.status != exitWrong {
			t.Errorf("%q: %+v", bad, r)
		}
	}
	vars["RD"] = "redis://" + freeAddress(t)
	if r := run("wait", "--timeout", "700ms"); r.status != exitFailed {
		t.Errorf("no server: %+v", r)
	}
}
