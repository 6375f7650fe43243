package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stokerhq/stoker/store/storetest"
)

// Keys whose equal values have several texts. No tick comes to the rescue.
const keysSpec = `postgres: {url: "${PG}"}
redis: {url: "${RD}"}
admin: {listen: "${LISTEN}"}
changes: {source: SOURCE}
defaults: {ttl: 1h, stale_grace: 10m}
jobs:
  - name: person
    query: SELECT mail, name FROM person WHERE mail NOT IN (SELECT mail FROM blocked)
    key: "person:{mail}"
    watch: [{table: person, key: {mail: mail}}]
  - name: shelf
    query: SELECT shelf, title FROM book ORDER BY shelf, title
    key: "shelf:{shelf}"
    value: rows
    watch: [{table: book, key: {shelf: shelf}}]
  - name: rate
    query: SELECT rate, name FROM rate
    key: "rate:{rate}"
    watch: [{table: rate, key: {rate: rate}}]
`

var keysSQL = []string{
	"CREATE EXTENSION citext",
	"CREATE TABLE person (mail citext PRIMARY KEY, name text)",
	"CREATE TABLE blocked (mail citext)",
	"CREATE TABLE book (shelf citext, title text PRIMARY KEY)",
	"ALTER TABLE book REPLICA IDENTITY FULL",
	"CREATE TABLE rate (rate numeric PRIMARY KEY, name text)",
	"INSERT INTO person VALUES ('Ann@x.io', 'Ann'), ('Bob@x.io', 'Bob')",
	"INSERT INTO book VALUES ('Books', 'a'), ('books', 'b'), ('Books', 'c'), ('Toys', 'd')",
	"INSERT INTO rate VALUES (1.50, 'low'), (2, 'high')",
}

// Every way in comes to the key of the row that is meant, however the key is written: a change, a command, the
// API, stoker_invalidate. Broken by: a value that is left under another text of its key.
func TestKeysOfSeveralTexts(t *testing.T) {
	for _, source := range []string{"wal", "outbox"} {
		t.Run(source, func(t *testing.T) {
			t.Parallel()
			w := newServers(t)
			storetest.Exec(t, w.vars["PG"], keysSQL...)
			spec := specFile(t, strings.Replace(keysSpec, "SOURCE", source, 1))
			if source == "outbox" {
				if r := stoker(t, w.vars, "outbox", "install", "--apply", "--config", spec); r.status != 0 {
					t.Fatalf("%+v", r)
				}
			}
			d := start(t, w.vars, "run", "--config", spec)
			eventually(t, 20*time.Second, "changes are followed", func() (bool, error) {
				return strings.Contains(d.log.String(), "changes are followed"), nil
			})
			const shelf = `[{"shelf":"Books","title":"a"},{"shelf":"books","title":"b"},{"shelf":"Books","title":"c"}]`
			w.becomesWithin(t, 20*time.Second, map[string]string{"person:Ann@x.io": `{"mail":"Ann@x.io","name":"Ann"}`,
				"shelf:Books": shelf, "rate:1.50": `{"rate":1.50,"name":"low"}`,
				"shelf:Toys": `[{"shelf":"Toys","title":"d"}]`})
			for _, step := range []struct {
				sql  string
				want map[string]string
			}{
				{"UPDATE person SET mail = 'ann@x.io' WHERE mail = 'Ann@x.io'", map[string]string{"person:Ann@x.io": "",
					"person:ann@x.io": `{"mail":"ann@x.io","name":"Ann"}`}},
				{"UPDATE rate SET rate = 1.5 WHERE rate = 1.50", map[string]string{"rate:1.50": "",
					"rate:1.5": `{"rate":1.5,"name":"low"}`}},
				{"DELETE FROM rate WHERE rate = 1.500", map[string]string{"rate:1.5": ""}},
				{"DELETE FROM person WHERE mail = 'ANN@x.io'", map[string]string{"person:ann@x.io": ""}},
				{"UPDATE book SET shelf = 'BOOKS' WHERE title = 'b'",
					map[string]string{"shelf:Books": "", "shelf:books": "",
						"shelf:BOOKS": strings.Replace(shelf, "books", "BOOKS", 1)}},
				{"DELETE FROM book WHERE title = 'b'", map[string]string{"shelf:BOOKS": "",
					"shelf:Books": `[{"shelf":"Books","title":"a"},{"shelf":"Books","title":"c"}]`}},
			} {
				storetest.Exec(t, w.vars["PG"], step.sql)
				w.becomes(t, step.want)
			}
			if source == "outbox" {
				w.callInvalidate(t)
			}
			if r := stoker(t, w.vars, "verify", "--config", spec); r.status != 0 {
				t.Errorf("%+v", r)
			}
			d.stop(os.Interrupt)
			w.invalidateByHand(t, spec)
		})
	}
}

// callInvalidate takes a row away by a table that is not watched, and names its key otherwise than it is written.
func (w *world) callInvalidate(t *testing.T) {
	t.Helper()
	storetest.Exec(t, w.vars["PG"], "INSERT INTO blocked VALUES ('bob@X.io')",
		`SELECT stoker_invalidate('person', '{"mail": "BOB@X.IO"}')`)
	w.becomes(t, map[string]string{"person:Bob@x.io": ""})
}

// invalidateByHand names keys of gone rows otherwise than they are written, by command and by API, with no feed.
func (w *world) invalidateByHand(t *testing.T, spec string) {
	t.Helper()
	text, err := os.ReadFile(spec)
	if err != nil {
		t.Fatal(err)
	}
	none := specFile(t, strings.NewReplacer("source: wal", "source: none", "source: outbox", "source: none").
		Replace(string(text)))
	w.vars["LISTEN"] = freeAddress(t)
	d := start(t, w.vars, "run", "--config", none)
	eventually(t, 20*time.Second, "the daemon is ready", func() (bool, error) {
		r, err := http.Get("http://" + w.vars["LISTEN"] + "/readyz")
		if err != nil {
			return false, nil
		}
		return r.StatusCode == http.StatusOK, r.Body.Close()
	})
	for n, invalidate := range []func(job, column, value string){
		func(job, column, value string) {
			r := stoker(t, w.vars, "invalidate", job, column+"="+value, "--wait", "--config", none)
			if r.status != 0 || !strings.Contains(r.stdout, "0 keys loaded, 1 removed") {
				t.Errorf("%+v", r)
			}
		},
		func(job, column, value string) {
			r := stoker(t, w.vars, "invalidate", job, column+"="+value, "--local", "--config", none)
			if r.status != 0 || !strings.Contains(r.stdout, "0 keys loaded, 1 removed") {
				t.Errorf("%+v", r)
			}
		},
		func(job, column, value string) {
			r, err := http.Post("http://"+w.vars["LISTEN"]+"/api/v1/jobs/"+job+"/invalidate", "application/json",
				strings.NewReader(fmt.Sprintf(`{"keys": [{%q: %q}]}`, column, value)))
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(r.Body)
			if err != nil || r.StatusCode != http.StatusAccepted || !strings.Contains(string(body), `"fenced":true`) {
				t.Errorf("%d %s %v", r.StatusCode, body, err)
			}
			if err := r.Body.Close(); err != nil {
				t.Error(err)
			}
		},
		func(job, column, value string) {
			r := stoker(t, w.vars, "invalidate", job, column+"="+value, "--remove", "--wait", "--config", none)
			if r.status != 0 || !strings.Contains(r.stdout, "0 keys loaded, 1 removed") {
				t.Errorf("%+v", r)
			}
		},
	} {
		storetest.Exec(t, w.vars["PG"], fmt.Sprintf("INSERT INTO person VALUES ('Cleo%d', 'Cleo')", n),
			fmt.Sprintf("INSERT INTO rate VALUES (%d.50, 'some')", 10+n),
			fmt.Sprintf("INSERT INTO book VALUES ('Cars%d', 'c%d')", n, n))
		for _, job := range []string{"person", "rate", "shelf"} {
			if r := stoker(t, w.vars, "warm", job, "--local", "--config", none); r.status != 0 {
				t.Fatalf("%+v", r)
			}
		}
		keys := []string{fmt.Sprintf("person:Cleo%d", n), fmt.Sprintf("rate:%d.50", 10+n),
			fmt.Sprintf("shelf:Cars%d", n)}
		if there := w.client.Exists(t.Context(), keys...).Val(); there != 3 {
			t.Fatalf("%d of %v are there", there, keys)
		}
		storetest.Exec(t, w.vars["PG"], "DELETE FROM person WHERE name = 'Cleo'",
			"DELETE FROM rate WHERE name = 'some'",
			"DELETE FROM book WHERE shelf LIKE 'cars%'")
		invalidate("person", "mail", fmt.Sprintf("CLEO%d", n))
		invalidate("rate", "rate", fmt.Sprintf("%d.5", 10+n))
		invalidate("shelf", "shelf", fmt.Sprintf("cars%d", n))
		eventually(t, 10*time.Second, "the keys are gone", func() (bool, error) {
			return w.client.Exists(t.Context(), keys...).Val() == 0, nil
		})
	}
	d.stop(os.Interrupt)
}

// check names a key of two rows, of a job that has one row a key, and key columns whose values have several texts; a
// run counts such rows, fails the command that asked for it and shows on the page. Broken by: a check that is green, or
// that takes two texts for one key.
func TestKeyOfTwoRowsIsNamed(t *testing.T) {
	vars, _ := newShop(t)
	storetest.Exec(t, vars["PG"], "CREATE EXTENSION citext", "CREATE TABLE person (mail citext, at date, name text)",
		"INSERT INTO person VALUES ('Ann', '2024-01-02', 'a'), ('ann', '2024-01-02', 'b'), ('bob', '2024-01-02', "+
			"'c'), "+
			"('bob', '2024-01-02', 'd'), ('bob', '2024-01-03', 'e'), (NULL, '2024-01-03', 'f'), (NULL, "+
			"'2024-01-03', 'g')")
	spec := specFile(t, `postgres: {url: "${PG}"}
redis: {url: "${RD}"}
jobs:
  - {name: twice, key: "t:{mail}:{at}", query: "SELECT mail, at, name FROM person ORDER BY name"}
  - {name: once, key: "o:{name}", query: "SELECT name, mail FROM person"}
  - {name: texts, key: "x:{mail}", query: "SELECT DISTINCT ON (mail::text) mail, name FROM person ORDER BY mail::text, name"}
  - {name: shelf, key: "s:{mail}", value: rows, query: "SELECT mail, name FROM person ORDER BY mail, name"}
  - {name: constant, key: "c", query: "SELECT name FROM person ORDER BY name"}
`)
	r := stoker(t, vars, "check", "--config", spec)
	for _, want := range []string{
		"warn  twice     key t:bob:2024-01-02 has 2 rows, and the first of them is written: have the key template " +
			"tell the " +
			"rows apart, select one row a key (DISTINCT ON), or set value: rows\n",
		"warn  constant  key c has 7 rows, and the first",
		"pass  twice     equal values of mail (citext) can have several texts: a key has the text of its row\n",
		"pass  shelf     equal values of mail (citext) can have several texts: a key has the text of its row, and " +
			"of equal " +
			"rows the smallest\n",
	} {
		if !strings.Contains(r.stdout, want) {
			t.Errorf("no %q in:\n%s", want, r.stdout)
		}
	}
	for _, job := range []string{"once", "texts", "shelf"} {
		if strings.Contains(r.stdout, "warn  "+job) {
			t.Errorf("%s has one row a key:\n%s", job, r.stdout)
		}
	}
	r = stoker(t, vars, "warm", "twice", "--local", "--config", spec)
	if want := "key t:bob:2024-01-02 has more than one row, and holds the first of them"; r.status != 1 ||
		!strings.Contains(r.stdout, "; 1 rows NOT written, of keys that had a row: "+want) ||
		!strings.Contains(r.stderr, want) {
		t.Errorf("%+v", r)
	}
	if got := client(t, vars["RD"]).Get(t.Context(), "t:bob:2024-01-02").Val(); !strings.Contains(got, `"name":"c"`) {
		t.Errorf("t:bob:2024-01-02 is %s", got)
	}
	if r := stoker(t, vars, "status", "--config", spec); !strings.Contains(r.stdout, "has more than one row") {
		t.Errorf("status says nothing:\n%s", r.stdout)
	}
}

// Broken by: a check that waits for a query that only looks cheap.
func TestCheckRunsNoLongQuery(t *testing.T) {
	vars, _ := newShop(t)
	spec := specFile(t, `postgres: {url: "${PG}"}
redis: {url: "${RD}"}
jobs:
  - {name: slow, key: "s:{id}", query: "SELECT id, pg_sleep(30)::text AS n FROM generate_series(1, 3) id"}
`)
	begun := time.Now()
	r := stoker(t, vars, "check", "--config", spec)
	if took := time.Since(begun); took > 20*time.Second || r.status != 0 {
		t.Errorf("%s, %+v", took, r)
	}
}
