package main

import (
	"strings"
	"testing"
)

const omitSpec = `postgres: {url: "${PG}"}
redis: {url: "${RD}"}
jobs:
  - {name: good, query: "SELECT id, md5(id::text) AS k, name FROM product", key: "g:{k}", omit: [k], ttl: 3h}
  - {name: unknown, query: "SELECT id, name FROM product", key: "u:{id}", omit: [nmae]}
  - {name: all, query: "SELECT id FROM product", key: "a:{id}", omit: [id]}
  - {name: sdk, query: "SELECT id, name FROM product", key: "c:{{products}}:products:{id}", format: fastapi-redis}
`

// check finds columns of omit that the query does not return, and a TTL that a library would tell clients. preview
// shows what a run would write. Broken by: an omit that nobody holds against the query before a run does.
func TestCheckOmitAndLibraries(t *testing.T) {
	t.Parallel()
	vars, _ := newShop(t)
	spec := specFile(t, omitSpec)
	r := stoker(t, vars, "check", "--config", spec)
	for _, want := range []string{
		"omit names column nmae, which the query does not return; it returns: id, name",
		"omit leaves no column for the value",
		`job "good": the library that such a key or value is for sends what is left of the TTL as max-age`,
		`browsers and CDNs may keep a value for 3h`, "key g:{k}, row, about 300 rows",
	} {
		if !strings.Contains(r.stdout+r.stderr, want) {
			t.Errorf("check does not say %q:\n%s%s", want, r.stdout, r.stderr)
		}
	}
	if r.status == 0 {
		t.Error("check has found nothing wrong")
	}
	p := stoker(t, vars, "preview", "sdk", "--limit", "1", "--json", "--config", spec)
	if !strings.Contains(p.stdout, `"body": "{\"id\":1,\"name\":\"p1\"}"`) {
		t.Errorf("preview shows %s", p.stdout)
	}
}
