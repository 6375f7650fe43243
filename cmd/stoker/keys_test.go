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
