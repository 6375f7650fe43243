package main

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stokerhq/stoker/store/storetest"
)

const roleSpec = `postgres: {url: "${PG}"}
redis: {url: "${RD}"}
admin: {listen: "${LISTEN}"}
changes: {source: outbox}
jobs:
  - name: acme
    role: acme
    query: SELECT id, title FROM doc
    key: "acme:doc:{id}"
    watch: [{table: doc, key: {id: id}}, {table: author, column: id, keys: SELECT id FROM doc WHERE author = ANY($1)}]
  - name: globex
    role: globex
    query: SELECT id, title FROM doc
    key: "globex:doc:{id}"
    watch: [{table: doc, key: {id: id}}, {table: author, column: id, keys: SELECT id FROM doc WHERE author = ANY($1)}]
`

// A daemon whose own role sees no row keeps a set for each tenant: by run, by change, by a keys query of its watch
// list, by command; verify finds both right.
//
// Broken by: a keys query that runs as the session's role, which sees no row; a refresh that does.
func TestRoles(t *testing.T) {
	t.Parallel()
	w := newServers(t)
	admin := w.vars["PG"]
	storetest.Exec(t, admin, "CREATE TABLE author (id int PRIMARY KEY)",
		"CREATE TABLE doc (id int PRIMARY KEY, tenant text, title text, author int)", "INSERT INTO author VALUES (7)",
		"INSERT INTO doc VALUES (1, 'acme', 'a', 7), (2, 'acme', 'b', 8), (3, 'globex', 'c', 7)",
		"ALTER TABLE doc ENABLE ROW LEVEL SECURITY", "CREATE POLICY own ON doc USING (tenant = current_user::text)",
		"CREATE ROLE acme", "CREATE ROLE globex", "GRANT SELECT ON doc, author TO acme, globex",
		"CREATE ROLE warmer LOGIN PASSWORD 'x' NOINHERIT IN ROLE acme, globex")
	w.vars["LISTEN"] = freeAddress(t)
	spec := specFile(t, roleSpec)
	if r := stoker(t, w.vars, "changes", "install", "--apply", "--config", spec); r.status != 0 {
		t.Fatalf("%+v", r)
	}
	storetest.Exec(t, admin, "GRANT ALL ON ALL TABLES IN SCHEMA public TO warmer", "REVOKE ALL ON doc FROM warmer",
		"GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO warmer")
	_, at, _ := strings.Cut(admin, "@")
	w.vars["PG"] = "postgres://warmer:x@" + at
	if r := stoker(t, w.vars, "check", "--config", spec); r.status != 0 ||
		strings.Contains(r.stdout, "row-level security") {
		t.Errorf("check: %+v", r)
	}
	d := start(t, w.vars, "run", "--config", spec)
	value := func(key, want string) {
		t.Helper()
		eventually(t, 30*time.Second, key+" is "+want, func() (bool, error) {
			return w.client.Get(t.Context(), key).Val() == want, nil
		})
	}
	value("acme:doc:1", `{"id":1,"title":"a"}`)
	value("globex:doc:3", `{"id":3,"title":"c"}`)
	storetest.Exec(t, admin, "UPDATE doc SET title = 'new' WHERE id = 1")
	value("acme:doc:1", `{"id":1,"title":"new"}`)
	// A change that only the keys query finds.
	storetest.Exec(t, admin, "ALTER TABLE doc DISABLE TRIGGER ALL", "UPDATE doc SET title = 'newer' WHERE id = 1",
		"ALTER TABLE doc ENABLE TRIGGER ALL", "UPDATE author SET id = 7")
	value("acme:doc:1", `{"id":1,"title":"newer"}`)
	if r := stoker(t, w.vars, "invalidate", "globex", "id=3", "--wait", "--config", spec); r.status != 0 {
		t.Errorf("invalidate: %+v", r)
	}
	for key, want := range map[string]int64{"acme:doc:3": 0, "globex:doc:1": 0, "globex:doc:3": 1} {
		if n := w.client.Exists(t.Context(), key).Val(); n != want {
			t.Errorf("%s is there %d times, want %d", key, n, want)
		}
	}
	if r := stoker(t, w.vars, "verify", "--config", spec); r.status != 0 {
		t.Errorf("verify: %+v", r)
	}
	d.stop(os.Interrupt)
}

// check says when keys do not tell tenants apart, and when the role cannot be taken on.
func TestCheckOfRoles(t *testing.T) {
	w := newServers(t)
	storetest.Exec(t, w.vars["PG"], "CREATE TABLE doc (id int PRIMARY KEY, tenant text)",
		"ALTER TABLE doc ENABLE ROW LEVEL SECURITY", "CREATE POLICY own ON doc USING (tenant = current_user::text)",
		"CREATE ROLE acme_docs", "CREATE ROLE stranger", "GRANT SELECT ON doc TO acme_docs",
		"CREATE ROLE warmer LOGIN PASSWORD 'x' IN ROLE acme_docs")
	_, at, _ := strings.Cut(w.vars["PG"], "@")
	w.vars["PG"] = "postgres://warmer:x@" + at
	for job, want := range map[string]string{
		`{name: a, role: acme_docs, key: "doc:{id}", query: SELECT id FROM doc}`: "by tenant, and " +
			"the key doc:{id} does not say whose",
		`{name: a, role: acme_docs, key: "{tenant}:{id}", query: "SELECT id, tenant FROM doc"}`: "0 failed",
		`{name: a, role: acme_docs, key: "acme_docs:{id}", query: SELECT id FROM doc}`:          "0 failed",
		`{name: a, role: stranger, key: "doc:{id}", query: SELECT id FROM doc}`:                 `GRANT "stranger" TO Stoker's role`,
		`{name: a, role: nobody, key: "doc:{id}", query: SELECT id FROM doc}`:                   `role "nobody" does not exist`,
	} {
		r := stoker(t, w.vars, "check", "--config",
			specFile(t, "postgres: {url: \"${PG}\"}\nredis: {url: \"${RD}\"}\njobs:\n  - "+job+"\n"))
		if !strings.Contains(r.stdout, want) || strings.Contains(r.stdout,
			"does not say whose") != strings.Contains(want, "whose") {
			t.Errorf("%s: %+v", job, r)
		}
	}
	spec := specFile(t, "postgres: {url: \"${PG}\"}\nredis: {url: \"${RD}\"}\njobs:\n  - "+
		`{name: a, role: none, key: "doc:{id}", query: SELECT id FROM doc}`+"\n")
	if r := stoker(t, w.vars, "check", "--config", spec); r.status != exitWrong ||
		!strings.Contains(r.stderr, "names no role") {
		t.Errorf("role: none: %+v", r)
	}
}
