package main

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/storetest"
)

const budgetSpec = `postgres:
  url: "${PG}"
  throttle_query: SELECT why FROM brake
redis: {url: "${RD}"}
admin: {listen: "${LISTEN}"}
jobs:
  - {name: item, query: "SELECT i AS id, repeat('x', 2000) AS v FROM generate_series(1, 20000) i", key: "item:{id}"}
`

// While the query says no, no run begins; status, page and metrics name the reason, a command may take the budget away
// and set it, and bad ones are refused. Broken by: a place that does not name the reason; a query that is not asked.
func TestThrottleQuery(t *testing.T) {
	t.Parallel()
	vars := map[string]string{"PG": storetest.Postgres(t), "RD": storetest.Redis(t), "LISTEN": freeAddress(t)}
	storetest.Exec(t, vars["PG"], "CREATE TABLE brake AS SELECT 'backup' AS why")
	spec := specFile(t, budgetSpec)
	if r := stoker(t, vars, "check", "--config", spec); r.status != exitOK ||
		!strings.Contains(r.stdout, "runs wait now: throttle_query says backup") {
		t.Errorf("check: %+v", r)
	}
	d := start(t, vars, "run", "--config", spec)
	defer d.stop(os.Interrupt)
	url := "http://" + vars["LISTEN"]
	const reason = "throttle_query says backup"
	for _, path := range []string{"/", "/api/v1/jobs/item"} {
		eventually(t, time.Minute, path+" names the reason", func() (bool, error) {
			_, body, err := get(t, url+path)
			return strings.Contains(body, reason), err
		})
	}
	if r := stoker(t, vars, "status", "--config", spec); !strings.Contains(r.stdout, "item: its run waits: "+reason) {
		t.Errorf("status: %+v", r)
	}
	_, metrics, err := get(t, url+"/metrics")
	if err != nil || strings.Contains(metrics, `stoker_run_throttled_seconds_total{reason="query"} 0`+"\n") ||
		!strings.Contains(metrics, `stoker_run_throttled_seconds_total{reason="query"}`) {
		t.Errorf("the metrics do not count it: %v", err)
	}
	c := client(t, vars["RD"])
	if n := c.Exists(t.Context(), "item:1").Val(); n != 0 {
		t.Error("a run went on")
	}
	storetest.Exec(t, vars["PG"], "UPDATE brake SET why = NULL")
	eventually(t, time.Minute, "the run is complete", func() (bool, error) {
		list := records(t, c, "item")
		return len(list) > 0 && list[0].State == store.StateOK, nil
	})
	for text, want := range map[string]string{"10%": "budget 10%, set at run time; the spec says none",
		"none": "budget none, set at run time", "spec": "budget none, as the spec says"} {
		if r := stoker(t, vars, "budget", text, "--config", spec); r.status != exitOK ||
			!strings.Contains(r.stdout, want) {
			t.Errorf("budget %s: %+v", text, r)
		}
	}
	for _, text := range []string{"0%", "10", "150%", "-1%", "x"} {
		if r := stoker(t, vars, "budget", "--config", spec, "--", text); r.status != exitWrong {
			t.Errorf("budget %s: %+v", text, r)
		}
	}
	storetest.Exec(t, vars["PG"], "DROP TABLE brake")
	if r := stoker(t, vars, "check", "--config", spec); r.status != exitFailed ||
		!strings.Contains(r.stdout, "runs wait while the database cannot be looked at") {
		t.Errorf("check without the table: %+v", r)
	}
	if status, body := send(t, url+"/api/v1/budget", `{"set": "30%"}`); status != 200 ||
		!strings.Contains(body, fmt.Sprintf("%q:%q", "set", "30%")) {
		t.Errorf("api: %d %s", status, body)
	}
}
