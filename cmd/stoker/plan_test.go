package main

import (
	"fmt"
	"maps"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stokerhq/stoker/store/storetest"
)

// What a row matters to is decided by the plan, in the daemon as in check.
const rankSpec = `postgres: {url: "${PG}"}
redis: {url: "${RD}"}
admin: {listen: "${LISTEN}"}
changes: {source: SOURCE}
defaults: {ttl: 1h}
jobs:
  - name: rank
    query: SELECT id, rank() OVER (ORDER BY pts DESC) AS place FROM player
    key: "rank:{id}"
    watch: [{table: player, key: {id: id}}]
  - name: top
    query: SELECT id, pts FROM player ORDER BY pts DESC, id LIMIT 3
    key: "top:{id}"
    watch: [{table: player, key: {id: id}}]
  - name: share
    query: SELECT p.id, p.pts, t.n FROM player p, tally t WHERE p.pts > (SELECT min(pts) FROM player)
    key: "share:{id}"
    watch: [{table: player, key: {id: id}, partial: true}, {table: tally}]
  - name: player
    query: SELECT id, pts FROM player
    key: "player:{id}"
    watch: [{table: player, key: {id: id}}]
`

var rankSQL = []string{"CREATE TABLE player (id int PRIMARY KEY, pts int)", "CREATE TABLE tally (n int)",
	"INSERT INTO tally VALUES (1)", "ALTER TABLE tally REPLICA IDENTITY FULL",
	"INSERT INTO player SELECT i, i FROM generate_series(1, 100) i"}

// Broken by: an analysis that is not applied to the feed: 99 of 100 ranks are stale after one UPDATE.
func TestChangesOfRanks(t *testing.T) {
	t.Parallel()
	for _, source := range []string{"wal", "outbox"} {
		t.Run(source, func(t *testing.T) {
			w := newServers(t)
			storetest.Exec(t, w.vars["PG"], rankSQL...)
			w.vars["LISTEN"] = freeAddress(t)
			spec := specFile(t, strings.Replace(rankSpec, "SOURCE", source, 1))
			if source == "outbox" {
				if r := stoker(t, w.vars, "outbox", "install", "--apply", "--config", spec); r.status != 0 {
					t.Fatalf("%+v", r)
				}
			}
			r := stoker(t, w.vars, "check", "--config", spec)
			for _, want := range []string{`warn  rank      a row of watched table player can matter to keys that its watch ` +
				`entry does not name (a window function over it)`, "warn  top       a row of watched table player can matter " +
				"to keys that its watch entry does not name (LIMIT or OFFSET over it)", " 0 failed"} {
				if !strings.Contains(r.stdout, want) {
					t.Errorf("check does not say %q:\n%s", want, r.stdout)
				}
			}
			if strings.Count(r.stdout, "can matter to keys") != 2 {
				t.Errorf("check warns of other jobs too:\n%s", r.stdout)
			}
			d := start(t, w.vars, "run", "--config", spec, "--roles", "scheduler,worker,changes")
			eventually(t, 30*time.Second, "every job has run in the feed's epoch", func() (bool, error) {
				epoch := w.client.HGet(t.Context(), "stoker:epoch:postgres", "epoch").Val()
				for _, job := range []string{"rank", "top", "share", "player"} {
					if all := records(t, w.client, job); len(all) == 0 || fmt.Sprint(all[0].Epoch) != epoch {
						return false, nil
					}
				}
				return strings.Contains(d.log.String(), "changes are followed"), nil
			})
			runs := len(records(t, w.client, "player")) + len(records(t, w.client, "share"))
			storetest.Exec(t, w.vars["PG"], "UPDATE player SET pts = 1000 WHERE id = 1")
			want := map[string]string{"rank:1": `{"id":1,"place":1}`, "top:1": `{"id":1,"pts":1000}`, "top:98": "",
				"player:1": `{"id":1,"pts":1000}`, "share:1": `{"id":1,"pts":1000,"n":1}`}
			for i := 2; i <= 100; i++ {
				want[fmt.Sprintf("rank:%d", i)] = fmt.Sprintf(`{"id":%d,"place":%d}`, i, 102-i)
			}
			w.becomesWithin(t, 15*time.Second, want)
			if now := len(records(t, w.client, "player")) + len(records(t, w.client, "share")); now != runs {
				t.Errorf("jobs whose keys suffice, or that are partial, were run: %d runs, before %d", now, runs)
			}
			if !strings.Contains(d.log.String(), "changes of this table run the job") {
				t.Error("the log does not say why")
			}
			d.stop(os.Interrupt)
		})
	}
}

const viewSpec = `postgres: {url: "${PG}"}
redis: {url: "${RD}"}
admin: {listen: "127.0.0.1:0"}
changes: {source: outbox}
jobs:
  - name: listed
    query: SELECT id, name, label(id) AS label, 1, id AS x, name AS x FROM named WHERE kind IN (SELECT id FROM kind)
    key: "listed:{id}"
    watch: [{table: product, key: {id: id}}]
    unwatched: [UNWATCHED]
`

// What a query reads and no watch names is listed, through views and functions; unwatched silences it, and must
// name what is read.
func TestCheckNamesUnwatchedTables(t *testing.T) {
	w := newServers(t)
	storetest.Exec(t, w.vars["PG"], "CREATE TABLE product (id int PRIMARY KEY, name text, kind int, brand int)",
		"CREATE TABLE brand (id int, name text)", "CREATE TABLE kind (id int)", "CREATE TABLE word (id int, t text)",
		"CREATE TABLE other (id int)",
		"CREATE VIEW branded AS SELECT p.*, b.name AS brand_name FROM product p LEFT JOIN brand b ON b.id = p.brand",
		"CREATE VIEW named AS SELECT * FROM branded WHERE id > 0",
		`CREATE FUNCTION label(i int) RETURNS text LANGUAGE plpgsql STABLE AS 'BEGIN RETURN (SELECT t FROM word WHERE id = i); END'`)
	checkOf := func(unwatched string) result {
		spec := specFile(t, strings.Replace(viewSpec, "UNWATCHED", unwatched, 1))
		if r := stoker(t, w.vars, "outbox", "install", "--apply", "--config", spec); r.status != 0 {
			t.Fatalf("%+v", r)
		}
		return stoker(t, w.vars, "check", "--config", spec)
	}
	const missing = "the query reads what its watch list does not name: "
	for unwatched, want := range map[string]string{
		"":                               missing + "brand, kind, word; a change of it",
		"kind":                           missing + "brand, word; a change of it",
		"brand, public.kind, word, kind": "warn",
		"brand, kind, word, other": ":10:36: unwatched names other, which the query does not read; it reads: brand, " +
			"kind, " +
			"product, word",
		"brand, kind, word, none":           ":10:36: unwatched names none, which does not exist",
		"brand, kind, word, public.product": ":10:36: unwatched names public.product, which is watched as product",
	} {
		r := checkOf(unwatched)
		if !strings.Contains(r.stdout, want) {
			t.Errorf("unwatched %q: check does not say %q:\n%s", unwatched, want, r.stdout)
		}
		if failed := strings.Contains(want, "unwatched names"); failed != (r.status == 1) {
			t.Errorf("unwatched %q: status %d", unwatched, r.status)
		}
		if strings.HasPrefix(want, "warn") && strings.Contains(r.stdout, missing) {
			t.Errorf("unwatched %q does not silence it:\n%s", unwatched, r.stdout)
		}
		for _, other := range []string{"several columns named x:", `column 4 of the query has no name, and is "?column?"`} {
			if !strings.Contains(r.stdout, other) {
				t.Errorf("check does not say %q:\n%s", other, r.stdout)
			}
		}
	}
}

const writeSpec = `postgres: {url: "${PG}"}
redis: {url: "${RD}"}
jobs:
  - {name: j, query: "QUERY", key: "j:{id}"}
`

// Whatever a READ ONLY transaction refuses fails in check, with words that fit the cause.
func TestCheckRefusesWrites(t *testing.T) {
	w := newServers(t)
	storetest.Exec(t, w.vars["PG"], "CREATE TABLE t (id int PRIMARY KEY, comment text)", "CREATE SEQUENCE s",
		"CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS 'BEGIN DELETE FROM t; RETURN 1; END'",
		"CREATE FUNCTION secret() RETURNS int LANGUAGE sql STABLE AS 'SELECT 1'",
		"REVOKE EXECUTE ON FUNCTION secret() FROM public", "CREATE TABLE hidden (id int)",
		"CREATE ROLE reader LOGIN PASSWORD 'x'", "GRANT SELECT ON t TO reader")
	asRole := maps.Clone(w.vars)
	_, at, _ := strings.Cut(w.vars["PG"], "@")
	asRole["PG"] = "postgres://reader:x@" + at
	const refuses = "READ ONLY transaction, which refuses "
	for query, want := range map[string]string{
		"SELECT id FROM t FOR UPDATE":                             refuses + "SELECT FOR UPDATE",
		"SELECT id FROM t FOR NO KEY UPDATE NOWAIT":               refuses + "SELECT FOR",
		"SELECT nextval('s') AS id":                               refuses + "nextval()",
		"SELECT id, f() AS f FROM t":                              refuses + "function f(), which contains DELETE",
		"WITH x AS (DELETE FROM t RETURNING id) SELECT id FROM x": refuses + "DELETE",
		"INSERT INTO t VALUES (1) RETURNING id":                   refuses + "INSERT",
		"SELECT id, coalesce(comment, 'x') AS update FROM t":      " 0 failed",
		"SELECT id FROM hidden":                                   "grant SELECT to Stoker's role",
		"SELECT id, secret() AS s FROM t":                         "grant EXECUTE on the function to Stoker's role",
	} {
		spec := specFile(t, strings.Replace(writeSpec, "QUERY", query, 1))
		for who, vars := range map[string]map[string]string{"owner": w.vars, "reader": asRole} {
			if who == "owner" && strings.HasPrefix(want, "grant") {
				continue
			}
			r := stoker(t, vars, "check", "--config", spec)
			if !strings.Contains(r.stdout, want) || (r.status == 0) != (want == " 0 failed") {
				t.Errorf("%s, as %s: status %d, want %q:\n%s", query, who, r.status, want, r.stdout)
			}
		}
	}
	spec := specFile(t, strings.Replace(writeSpec, "QUERY", "SELECT id FROM t FOR UPDATE", 1))
	d := start(t, w.vars, "run", "--config", spec, "--roles", "scheduler,worker")
	if r := stoker(t, w.vars, "warm", "j", "--wait", "--config", spec); r.status != 1 ||
		!strings.Contains(r.stderr, "cannot execute SELECT FOR UPDATE in a read-only transaction") {
		t.Errorf("%+v", r)
	}
	time.Sleep(3 * time.Second)                     // a retry would come after one
	if n := len(records(t, w.client, "j")); n > 2 { // the catch-up at the start, and the command
		t.Errorf("a query that writes was tried %d times", n)
	}
	d.stop(os.Interrupt)
}

// A set that is empty because row-level security hides all rows is not called warm. Broken by: a run that takes
// no row for an answer.
func TestHiddenRowsAreNotWarm(t *testing.T) {
	w := newServers(t)
	storetest.Exec(t, w.vars["PG"], "CREATE TABLE item (id int PRIMARY KEY, tenant int)",
		"INSERT INTO item SELECT i, 1 FROM generate_series(1, 10) i", "ALTER TABLE item ENABLE ROW LEVEL SECURITY",
		"CREATE VIEW listed AS SELECT * FROM item", "ALTER VIEW listed OWNER TO stoker",
		"CREATE ROLE reader LOGIN PASSWORD 'x'", "GRANT SELECT ON item, listed TO reader", "CREATE TABLE none (id int)",
		"GRANT SELECT ON none TO reader", "GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA pg_catalog TO reader")
	_, at, _ := strings.Cut(w.vars["PG"], "@")
	w.vars["PG"] = "postgres://reader:x@" + at
	w.vars["LISTEN"] = freeAddress(t)
	spec := specFile(t, `postgres: {url: "${PG}"}
redis: {url: "${RD}"}
admin: {listen: "${LISTEN}"}
jobs:
  - {name: item, key: "i:{id}", query: SELECT id FROM item}
  - {name: seen, key: "s:{id}", query: SELECT id FROM listed}
  - {name: none, key: "n:{id}", query: SELECT id FROM none}
`)
	const hides = "row-level security of item hides rows from Stoker's role"
	if r := stoker(t, w.vars, "check", "--config", spec); r.status != 0 || strings.Count(r.stdout, hides) != 1 ||
		!strings.Contains(r.stdout, "warn  item") {
		t.Errorf("check: %+v", r)
	}
	d := start(t, w.vars, "run", "--config", spec)
	eventually(t, 30*time.Second, "the jobs have run", func() (bool, error) {
		ran := func(job string) int { return len(records(t, w.client, job)) }
		return ran("item")*ran("seen")*ran("none") > 0, nil
	})
	r := stoker(t, w.vars, "status", "--config", spec)
	if strings.Count(r.stdout, hides) != 1 || !strings.Contains(r.stdout, "item: run failed: it found no row") {
		t.Errorf("status does not say why the set is empty:\n%s", r.stdout)
	}
	for line := range strings.SplitSeq(r.stdout, "\n") {
		if fields := strings.Fields(line); len(fields) > 2 && fields[0] == "item" && fields[2] != "0%" {
			t.Errorf("the set is called warm: %s", line)
		}
		if fields := strings.Fields(line); len(fields) > 2 && fields[0] == "seen" && fields[1] != "10" {
			t.Errorf("rows that the view's owner sees are not there: %s", line)
		}
	}
	_, page, err := get(t, "http://"+w.vars["LISTEN"]+"/")
	if err != nil || !strings.Contains(page, "hides rows from") {
		t.Errorf("the page does not say it: %v", err)
	}
	if !strings.Contains(d.log.String(), "the set is empty, not warm") {
		t.Error("the log does not say it")
	}
	d.stop(os.Interrupt)
}
