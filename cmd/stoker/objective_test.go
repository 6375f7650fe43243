package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/stokerhq/stoker/store/storetest"
	"github.com/stokerhq/stoker/web"
	"github.com/stokerhq/stoker/web/objective"
)

const objectiveSpec = `postgres: {url: "${PG}"}
redis: {url: "${RD}"}
admin: {listen: "${LISTEN}"}
changes: {source: SOURCE}
jobs:
  - name: product
    query: SELECT id, name FROM product
    key: "product:{id}"
    schedule: "@hourly"
    ttl: 3h
    objective: {age: 8s, ratio: 99%, window: 7d}
    watch: [{table: product, key: {id: id}}]
`

// standing is how the job stands with its objective, by the command.
func standing(t *testing.T, w *world) objective.Status {
	t.Helper()
	r := stoker(t, w.vars, "status", "--json", "--config", w.spec)
	var list []web.JobStatus
	if err := json.Unmarshal([]byte(r.stdout), &list); err != nil || r.status != 0 || len(list) != 1 ||
		list[0].Objective == nil {
		t.Fatalf("%v: %+v", err, r)
	}
	return *list[0].Objective
}

// heldUp are ways to commit a change that does not show, by source. The second holds the feed up: nothing comes through
// the log, and nothing says so.
var heldUp = map[string]func(t *testing.T, w *world) (release func()){
	"outbox": func(t *testing.T, w *world) func() { return w.changeAndLock(t) },
	"wal":    func(t *testing.T, w *world) func() { return w.stopAndChange(t) },
}

// A feed that is held up burns the budget, from the COMMIT on plus the age that values may have, until it goes on. It
// takes the age of the objective twice, and so more than a few seconds.
//
// Broken by: an age from the fence or the write; unknown that counts as good; a feed that is taken for idle.
func TestObjectiveBurnsWhileTheFeedIsHeldUp(t *testing.T) {
	t.Parallel()
	for source, hold := range heldUp {
		t.Run(source, func(t *testing.T) {
			t.Parallel()
			w := newServers(t)
			storetest.Exec(t, w.vars["PG"], "CREATE TABLE product (id int PRIMARY KEY, name text)",
				"ALTER TABLE product REPLICA IDENTITY FULL",
				"INSERT INTO product SELECT i, 'product ' || i FROM generate_series(1, 100) i")
			w.spec = specFile(t, strings.Replace(objectiveSpec, "SOURCE", source, 1))
			if source == "outbox" {
				if r := stoker(t, w.vars, "outbox", "install", "--apply", "--config", w.spec); r.status != 0 {
					t.Fatalf("%+v", r)
				}
			}
			start(t, w.vars, "run", "--config", w.spec)
			eventually(t, time.Minute, "the objective is met", func() (bool, error) {
				return standing(t, w).Met, nil
			})
			before := standing(t, w)
			release := hold(t, w)
			began := time.Now()
			eventually(t, time.Minute, "the objective is not met", func() (bool, error) {
				return !standing(t, w).Met, nil
			})
			if early := time.Since(began); early < 7*time.Second {
				t.Errorf("bad after %s, but values may be 8 s old", early)
			}
			eventually(t, time.Minute, "some seconds are bad", func() (bool, error) {
				st := standing(t, w)
				return st.Total-st.Good > before.Total-before.Good+3, nil
			})
			release()
			eventually(t, time.Minute, "it is met again", func() (bool, error) { return standing(t, w).Met, nil })
			lasted := time.Since(began).Seconds()
			st := standing(t, w)
			bad := st.Total - st.Good - (before.Total - before.Good)
			if bad < 3 || bad > lasted-7 {
				t.Errorf("%.1f s bad of %.1f s since the COMMIT: %+v", bad, lasted, st)
			}
			if math.Abs(st.Total-time.Since(st.Since).Seconds()) > 10 {
				t.Errorf("%.1f s counted since %s", st.Total, st.Since)
			}
			w.wantObjectiveShown(t, st)
		})
	}
}

// changeAndLock changes a row and locks the table in such a way that the change is committed, and cannot be read. It
// waits in between for nothing: the lock is taken in the transaction that changes, and kept by another one.
func (w *world) changeAndLock(t *testing.T) (unlock func()) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), w.vars["PG"])
	if err != nil {
		t.Fatal(err)
	}
	waiting, err := pgx.Connect(t.Context(), w.vars["PG"])
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(),
		"BEGIN; LOCK TABLE product; UPDATE product SET name = 'new' WHERE id = 7"); err != nil {
		t.Fatal(err)
	}
	locked := make(chan error, 1)
	go func() { // it is next in the queue of the lock, before any reader that comes later
		_, err := waiting.Exec(context.WithoutCancel(t.Context()), "BEGIN; LOCK TABLE product")
		locked <- err
	}()
	eventually(t, 10*time.Second, "the second lock waits", func() (bool, error) {
		var n int
		err := conn.QueryRow(t.Context(), "SELECT count(*) FROM pg_locks WHERE NOT granted").Scan(&n)
		return n > 0, err
	})
	if _, err := conn.Exec(t.Context(), "COMMIT"); err != nil {
		t.Fatal(err)
	}
	if err := <-locked; err != nil {
		t.Fatal(err)
	}
	return func() {
		for _, c := range []*pgx.Conn{waiting, conn} {
			if err := c.Close(context.Background()); err != nil {
				t.Error(err)
			}
		}
	}
}

// stopAndChange stops the walsender and changes a row.
func (w *world) stopAndChange(t *testing.T) (goOn func()) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), w.vars["PG"])
	if err != nil {
		t.Fatal(err)
	}
	var pid int
	if err := conn.QueryRow(t.Context(), "SELECT pid FROM pg_stat_replication").Scan(&pid); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	goOn = func() {
		if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(func() { _ = syscall.Kill(pid, syscall.SIGCONT) }) // also if the test fails: the server must stop
	if _, err := conn.Exec(t.Context(), "UPDATE product SET name = 'new' WHERE id = 7"); err != nil {
		t.Fatal(err)
	}
	if err := conn.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	return goOn
}

// wantObjectiveShown: the page, the metrics and the command say what the API says.
func (w *world) wantObjectiveShown(t *testing.T, st objective.Status) {
	t.Helper()
	base := "http://" + w.vars["LISTEN"]
	eventually(t, 30*time.Second, "metrics show the bad time", func() (bool, error) {
		_, text, err := get(t, base+"/metrics")
		var good, total float64
		for line := range strings.Lines(text) {
			if v, is := strings.CutPrefix(line, `stoker_job_objective_good_seconds_total{job="product"} `); is {
				fmt.Sscan(v, &good)
			}
			if v, is := strings.CutPrefix(line, `stoker_job_objective_seconds_total{job="product"} `); is {
				fmt.Sscan(v, &total)
			}
		}
		return total-good >= st.Total-st.Good-0.01 && total-good < st.Total-st.Good+5, err
	})
	for _, path := range []string{"/", "/jobs/product"} {
		if _, page, err := get(t, base+path); err != nil || !strings.Contains(page, "99 % within 8 s, over 7 d") {
			t.Errorf("%s: %v\n%s", path, err, page)
		}
	}
	if r := stoker(t, w.vars, "status", "--config", w.spec); !strings.Contains(r.stdout,
		"product: objective 99 % within 8 s, over 7 d: ") {
		t.Errorf("%+v", r)
	}
}
