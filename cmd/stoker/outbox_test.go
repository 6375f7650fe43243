package main

import (
	"strings"
	"testing"

	"github.com/stokerhq/stoker/store/storetest"
)

const outboxSpec = `postgres: {url: "${PG}"}
redis: {url: "${RD}"}
changes: {source: outbox}
jobs:
  - name: product
    query: SELECT id, name FROM product
    key: "product:{id}"
    ttl: 1h
    watch:
      - {table: product, key: {id: id}}
      - {table: stock}
`

// What install prints is what --apply runs; check says which of them is missing.
func TestOutboxCommands(t *testing.T) {
	vars, _ := newShop(t)
	spec := specFile(t, outboxSpec)
	run := func(line string) result { return stoker(t, vars, append(strings.Fields(line), "--config", spec)...) }
	const ask = ": have the owner of the tables run: stoker outbox install --apply"
	before := run("check")
	if want := "fail  changes   there is no table stoker_outbox in the search_path of Stoker's role" +
		ask; before.status != 1 || !strings.Contains(before.stdout, want) {
		t.Errorf("check before: status %d\n%s", before.status, before.stdout)
	}
	printed := run("outbox install")
	if printed.status != 0 || !strings.HasPrefix(printed.stdout, "-- Each transaction") ||
		!strings.HasSuffix(printed.stdout, ";\nCOMMIT;\n") {
		t.Errorf("install: status %d\n%s%s", printed.status, printed.stdout, printed.stderr)
	}
	run("outbox install --apply").want(t, 0, "done: 4 transactions\n", "")
	run("outbox install --apply").want(t, 0, "done: 1 transaction\n", "")
	after := run("check")
	if want := "pass  changes   source outbox: 2 tables watched"; after.status != 0 ||
		!strings.Contains(after.stdout, want) {
		t.Errorf("check after: status %d\n%s", after.status, after.stdout)
	}
	storetest.Exec(t, vars["PG"], "UPDATE product SET name = 'x' WHERE id = 1")
	if r := run("outbox remove"); !strings.Contains(r.stdout, "DROP TABLE IF EXISTS public.stoker_outbox;\nCOMMIT;\n") {
		t.Errorf("remove: %s%s", r.stdout, r.stderr)
	}
	run("outbox remove --apply").want(t, 0, "done: 3 transactions\n", "")
	run("outbox remove --apply").want(t, 0, "", "there is no outbox: nothing to remove\n")
	storetest.Exec(t, vars["PG"], "UPDATE product SET name = 'x' WHERE id = 1", printed.stdout,
		"UPDATE product SET name = 'x' WHERE id = 1")

	_, plain := newShop(t)
	stoker(t, vars, "outbox", "install", "--config", plain).want(t, 2, "",
		"stoker: no job of stoker.yaml has a watch list: there is nothing to install\n")
}
