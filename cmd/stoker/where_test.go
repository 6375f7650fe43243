package main

import (
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stokerhq/stoker/store/storetest"
)

// No feed and no tick comes to the rescue.
const whereSpec = `postgres: {url: "${PG}"}
redis: {url: "${RD}"}
admin: {listen: "${LISTEN}"}
defaults: {ttl: 1h, stale_grace: 10m}
jobs:
  - {name: product, key: "product:{id}", query: "SELECT id, name, supplier, category FROM product ORDER BY id"}
  - name: supplied
    key: "supplied:{supplier}"
    value: rows
    query: SELECT supplier, id, name FROM product ORDER BY supplier, id
  - {name: total, key: total, query: "SELECT count(*) AS n FROM product"}
`

// A condition reaches the keys of its rows by command, here and by a daemon, and by the API; and with no job named, of
// every job that has the columns. Broken by: a key too many or too few, one that is left as it was.
func TestInvalidateWhere(t *testing.T) {
	t.Parallel()
	w := newServers(t)
	storetest.Exec(t, w.vars["PG"], "CREATE TABLE product (id int PRIMARY KEY, name text, supplier int, category text)",
		"INSERT INTO product SELECT i, 'old', i % 5, 'c' || i % 2 FROM generate_series(1, 1200) i")
	spec := specFile(t, whereSpec)
	d := start(t, w.vars, "run", "--config", spec)
	w.becomesWithin(t, 20*time.Second, map[string]string{"total": `{"n":1200}`,
		"product:1200": `{"id":1200,"name":"old","supplier":0,"category":"c0"}`})
	change := func(name string) {
		storetest.Exec(t, w.vars["PG"], "UPDATE product SET name = '"+name+"'")
	}
	holds := func(key, name string) {
		t.Helper()
		if got := w.client.Get(t.Context(), key).Val(); !strings.Contains(got, `"name":"`+name+`"`) {
			t.Errorf("%s is %.80s, want name %s", key, got, name)
		}
	}
	post := func(path, body string) string {
		r, err := http.Post("http://"+w.vars["LISTEN"]+path, "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		b, err := io.ReadAll(r.Body)
		if err != nil || r.StatusCode != http.StatusOK {
			t.Errorf("%d %s %v", r.StatusCode, b, err)
		}
		return string(b)
	}
	change("a")
	r := stoker(t, w.vars, "invalidate", "product", "--where", "supplier=3", "--where", "category=c1", "--wait",
		"--config", spec)
	if r.status != 0 || !strings.HasPrefix(r.stdout, "product: 120 keys loaded, 0 removed, ") {
		t.Fatalf("%+v", r)
	}
	holds("product:3", "a")
	holds("product:8", "old") // of the supplier, and of another category
	holds("product:1", "old")

	change("b")
	r = stoker(t, w.vars, "invalidate", "--where", "supplier=3", "--where", "supplier= 04", "--local", "--config", spec)
	if r.status != 0 || !strings.Contains(r.stdout, "product: 480 keys loaded") ||
		!strings.Contains(r.stdout, "supplied: 2 keys loaded") || strings.Contains(r.stdout, "total") {
		t.Fatalf("%+v", r)
	}
	holds("product:3", "b")
	holds("supplied:4", "b")
	holds("product:5", "old")

	change("c")
	answer := post("/api/v1/invalidate?wait=1", `{"where": {"supplier": 3}}`)
	if !strings.Contains(answer, `"jobs":{"product":240,"supplied":1},"fenced":true`) ||
		!strings.Contains(answer, `"fresh":true`) {
		t.Error(answer)
	}
	holds("product:3", "c")
	holds("supplied:3", "c")
	holds("product:4", "b")

	storetest.Exec(t, w.vars["PG"], "DELETE FROM product WHERE supplier = 3") // the rows of a key are gone
	post("/api/v1/jobs/supplied/invalidate?wait=1", `{"where": {"supplier": "3"}}`)
	w.becomes(t, map[string]string{"supplied:3": ""})

	r = stoker(t, w.vars, "invalidate", "product", "--where", "category=c0", "--remove", "--wait", "--config", spec)
	if r.status != 0 || !strings.HasPrefix(r.stdout, "product: 0 keys loaded, 480 removed, ") {
		t.Errorf("%+v", r)
	}
	r = stoker(t, w.vars, "invalidate", "product", "--where", "category=none", "--config", spec)
	if r.status != 0 || r.stdout != "product: 0 keys fenced, enqueued as 0 tasks\n" {
		t.Errorf("%+v", r)
	}
	d.stop(os.Interrupt)
}
