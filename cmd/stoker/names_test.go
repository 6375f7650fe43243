package main

import (
	"strings"
	"testing"

	"github.com/stokerhq/stoker/store/storetest"
)

const capitalsSpec = `postgres: {url: "${PG}"}
redis: {url: "${RD}"}
changes: {source: wal}
jobs:
  - {name: folded, query: SELECT 1 AS id FROM Orders, key: "f:{id}"}
  - {name: elsewhere, query: SELECT id FROM shelf, key: "e:{id}"}
  - {name: column, query: 'SELECT "Id" FROM "Orders"', key: "c:{id}"}
  - {name: watched, query: SELECT 1 AS id, key: "w:{id}", watch: [{table: Orders, key: {id: id}}]}
  - {name: good, query: SELECT id FROM item, key: "g:{id}", watch: [{table: item, key: {id: id}}]}
`

// Names with capitals, as object mappers make them: check says how to write each.
func TestCheckSpellsNames(t *testing.T) {
	vars, _ := newShop(t)
	storetest.Exec(t, vars["PG"], itemSQL...)
	storetest.Exec(t, vars["PG"], `CREATE TABLE "Orders" ("Id" int PRIMARY KEY)`, "CREATE SCHEMA depot",
		"CREATE TABLE depot.shelf (id int)")
	r := stoker(t, vars, "check", "--config", specFile(t, capitalsSpec))
	for _, want := range []string{
		`there is "Orders": write it so in the query`,
		"there is depot.shelf: write it so in the query",
		"upper and lower case count: write it so: {Id}",
		`the watched table Orders does not exist; there is "Orders": write it so, table: '"Orders"'`,
		"pass  good       key g:{id}",
	} {
		if !strings.Contains(r.stdout, want) {
			t.Errorf("check does not say %q:\n%s", want, r.stdout)
		}
	}
	wrong := strings.Replace(capitalsSpec, "table: item", "table: a.b.c.d", 1)
	if r := stoker(t, vars, "check", "--config", specFile(t, wrong)); r.status != 2 ||
		!strings.Contains(r.stderr, `stoker.yaml:9:`) || !strings.Contains(r.stderr, "stoker: 1 problem\n") {
		t.Errorf("a.b.c.d: %+v", r)
	}
}
