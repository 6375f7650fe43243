package main

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stokerhq/stoker/store/storetest"
)

var updateSequin = flag.Bool("update-sequin", false, "write anew what is said of a bad sequin.yaml")

const sequinSQL = `
CREATE TABLE account (id text PRIMARY KEY, title text);
CREATE TABLE product (id int PRIMARY KEY, name text, price numeric(10,2), account_id text REFERENCES account);
CREATE TABLE line (order_id int, n int, product_id int, PRIMARY KEY (order_id, n));
CREATE TABLE "Tag" (id text PRIMARY KEY, "Group" text);
CREATE SCHEMA shop;
CREATE TABLE shop.orders (id bigint PRIMARY KEY, note text);
INSERT INTO account VALUES ('a1', 'One'), ('a2', 'Two');
INSERT INTO product VALUES (1, 'Lamp', 1.50, 'a1'), (2, 'Desk', 20, 'a2'), (3, 'Chair', 7, NULL);
INSERT INTO line VALUES (1, 1, 1), (1, 2, 2), (2, 1, 1);
INSERT INTO "Tag" VALUES ('x', 'g'), ('y', 'h');
INSERT INTO shop.orders VALUES (7, 'seven'), (8, 'eight')`

// Ten files are translated to jobs that write the keys that Sequin wrote. Broken by: a key without the table's name, a
// brace that is not doubled, an enrichment that loses rows.
func TestInitFromSequin(t *testing.T) {
	t.Parallel()
	url := storetest.Postgres(t)
	storetest.Exec(t, url, sequinSQL)
	files, err := filepath.Glob("internal/sequin/testdata/*.good.yaml")
	if err != nil || len(files) != 10 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	vars := map[string]string{"DATABASE_URL": url, "REDIS_URL": storetest.Redis(t)}
	c := client(t, vars["REDIS_URL"])
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		spec := filepath.Join(t.TempDir(), "stoker.yaml")
		if r := stoker(t, vars, "init", "--from", file, "--out", spec); r.status != 0 {
			t.Errorf("%s: %+v", file, r)
			continue
		}
		made, err := os.ReadFile(spec)
		if err != nil {
			t.Fatal(err)
		}
		if w := stoker(t, vars, "warm", "--all", "--local", "--config", spec); w.status != 0 {
			t.Errorf("%s: warm: %+v\n%s", file, w, made)
		}
		first, _, _ := strings.Cut(string(text), "\n")
		want := strings.Fields(strings.TrimPrefix(first, "# keys: "))
		slices.Sort(want)
		if d := cmp.Diff(want, userKeys(t, vars["REDIS_URL"])); d != "" {
			t.Errorf("%s: %s\n%s", file, d, made)
		}
		if strings.Contains(string(made), "hush-hush") || strings.Contains(string(made), "example.org") {
			t.Errorf("%s: what belongs to a server is in the spec:\n%s", file, made)
		}
		if value, want := sequinValue(filepath.Base(file)), ""; value.key != "" {
			if want, err = c.Get(t.Context(), value.key).Result(); err != nil || want != value.text {
				t.Errorf("%s: %s is %s, %v", file, value.key, want, err)
			}
		}
		if err := c.FlushDB(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
	}
}

type keyed struct{ key, text string }

// sequinValue is a value that a file makes.
func sequinValue(file string) keyed {
	return map[string]keyed{
		"default-key.good.yaml": {"sequin:product:1", `{"id":1,"name":"Lamp","price":1.50,"account_id":"a1"}`},
		"enrichment.good.yaml": {"sequin:product:3",
			`{"id":3,"name":"Chair","price":7.00,"account_id":null,"account_title":null}`},
		"enrichment-alone.good.yaml": {"n:1", `{"id":1,"lines":2}`},
		"old-forms.good.yaml":        {"sequin:Tag:y", `{"id":"y","Group":"h"}`},
	}[file]
}

// userKeys are the keys of a Redis that are not ours.
func userKeys(t *testing.T, url string) (keys []string) {
	t.Helper()
	all, err := client(t, url).Keys(t.Context(), "*").Result()
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range all {
		if !strings.HasPrefix(k, "stoker:") && !strings.HasPrefix(k, "asynq:") {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	return keys
}

// What cannot be translated is refused at its line, all of it at once, and nothing is written. Broken by: a first
// problem that hides the others, a field that is passed over.
func TestInitFromSequinRefuses(t *testing.T) {
	t.Parallel()
	url := storetest.Postgres(t)
	storetest.Exec(t, url, sequinSQL)
	vars := map[string]string{"DATABASE_URL": url, "REDIS_URL": "redis://127.0.0.1"}
	files, err := filepath.Glob("internal/sequin/testdata/*.bad.yaml")
	if err != nil || len(files) != 5 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		out := filepath.Join(t.TempDir(), "stoker.yaml")
		r := stoker(t, vars, "init", "--from", file, "--out", out)
		golden := strings.TrimSuffix(file, ".yaml") + ".want"
		got := strings.ReplaceAll(r.stderr, file, filepath.Base(file))
		if *updateSequin {
			if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(string(want), got); d != "" || r.status != 2 || r.stdout != "" {
			t.Errorf("%s: status %d, %s%s", file, r.status, r.stdout, d)
		}
		if _, err := os.Stat(out); err == nil {
			t.Errorf("%s: a spec was written", file)
		}
	}
	for text, say := range map[string]string{"": "not a YAML mapping", "- a\n": "not a YAML mapping",
		"sinks: [": "not a YAML mapping", "sinks: []\n": "no active Redis string sink", "sinks: 3\n": "not a list",
		"sinks: [3]\n": "not a mapping", "databases: {}\n": "not a list"} {
		file := specFile(t, text)
		r := stoker(t, vars, "init", "--from", file, "--out", "-")
		if r.status != 2 || !strings.Contains(r.stderr, say) {
			t.Errorf("%q: %+v", text, r)
		}
	}
}
