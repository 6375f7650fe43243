package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/stokerhq/stoker/jobs/specfile"
	"github.com/stokerhq/stoker/store/storetest"
)

// sample is a database that an API has worked on.
type sample struct {
	vars map[string]string
	api  []storetest.Endpoint
}

func newSample(t *testing.T, name string) sample {
	t.Helper()
	server := storetest.OwnPostgres(t, "shared_preload_libraries = 'pg_stat_statements'")
	testdata := filepath.Join(repo, "store/postgres/discover/testdata")
	schema, err := os.ReadFile(filepath.Join(testdata, name+".sql"))
	if err != nil {
		t.Fatal(err)
	}
	url := server.URL("postgres")
	storetest.Exec(t, url, string(schema), "CREATE EXTENSION pg_stat_statements", "SELECT pg_stat_statements_reset()")
	s := sample{vars: map[string]string{"DATABASE_URL": url, "REDIS_URL": storetest.Redis(t)},
		api: storetest.ReadAPI(t, filepath.Join(testdata, name+".api"))}
	storetest.Drive(t, url, s.api, 20)
	return s
}

// The spec that init writes passes check and preview as it is, and its keys answer the API as the database does.
// Broken by: a key column that the query lacks, rows in another order, a schedule whose TTL is too short.
func TestInitAnswersTheAPI(t *testing.T) {
	for _, name := range []string{"chinook", "northwind", "pagila"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSample(t, name)
			spec := filepath.Join(t.TempDir(), "stoker.yaml")
			r := stoker(t, s.vars, "init", "--watch", "1s", "--out", spec)
			if r.status != 0 || !strings.Contains(r.stdout, "next: stoker check") {
				t.Fatalf("init: %+v", r)
			}
			text, err := os.ReadFile(spec)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(string(text), "# yaml-language-server: $schema=") {
				t.Errorf("no modeline: %.80s", text)
			}
			for _, secret := range []string{s.vars["DATABASE_URL"], s.vars["REDIS_URL"], "@127"} {
				if strings.Contains(string(text)+r.stdout+r.stderr, secret) {
					t.Errorf("a secret is shown: %s", text)
				}
			}
			c := stoker(t, s.vars, "check", "--config", spec)
			if c.status != 0 || strings.Contains(c.stdout, "warn  ") {
				t.Errorf("check: %s%s\n%s", c.stdout, c.stderr, text)
			}
			previewAll(t, s.vars, spec)
			if w := stoker(t, s.vars, "warm", "--all", "--local", "--config", spec); w.status != 0 {
				t.Fatalf("warm: %+v", w)
			}
			for _, e := range s.api {
				if reason, left := strings.CutPrefix(e.About, "left: "); left {
					if !strings.Contains(string(text), reason) {
						t.Errorf("%s: nothing says %q", e.Title, reason)
					}
					continue
				}
				for _, call := range e.Calls {
					answer(t, s, e, call)
				}
			}
			if t.Failed() {
				t.Logf("%s", text)
			}
		})
	}
}

func previewAll(t *testing.T, vars map[string]string, file string) {
	t.Helper()
	spec, err := specfile.Load(file, func(name string) (string, bool) { v, ok := vars[name]; return v, ok })
	if err != nil {
		t.Fatal(err)
	}
	for _, job := range spec.Jobs {
		if r := stoker(t, vars, "preview", job.Name, "--config", file, "--limit", "2"); r.status != 0 ||
			!strings.Contains(r.stdout, "TTL") {
			t.Errorf("preview %s: %+v", job.Name, r)
		}
	}
}

// answer holds what a key has against what the endpoint's query returns: each row and column of it, in its order.
func answer(t *testing.T, s sample, e storetest.Endpoint, call []string) {
	t.Helper()
	key := e.About
	for i, p := range call {
		key = strings.ReplaceAll(key, "$"+strconv.Itoa(i+1), strings.Trim(p, "{}"))
	}
	if strings.Contains(key, ",") {
		return // a reader asks for several keys
	}
	value, err := client(t, s.vars["REDIS_URL"]).Get(t.Context(), key).Result()
	if err != nil {
		t.Errorf("%s: GET %s: %v", e.Title, key, err)
		return
	}
	if !strings.HasPrefix(value, "[") {
		value = "[" + value + "]"
	}
	var got, want []map[string]any
	if err := json.Unmarshal([]byte(value), &got); err != nil {
		t.Fatal(err)
	}
	want = original(t, s.vars["DATABASE_URL"], e, call)
	if strings.Contains(e.SQL, " IN (") {
		want = want[:1] // of the first of the keys that it asks for
	}
	for i := range want {
		if i >= len(got) {
			break
		}
		for column := range got[i] {
			if _, asked := want[i][column]; !asked {
				delete(got[i], column) // of the key, or of another statement
			}
		}
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("%s, %s: %s", e.Title, key, d)
	}
}

func original(t *testing.T, url string, e storetest.Endpoint, call []string) (rows []map[string]any) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	params := make([][]byte, len(call))
	for i, p := range call {
		params[i] = []byte(p)
	}
	res := conn.PgConn().ExecParams(t.Context(), "SELECT coalesce(json_agg(q), '[]') FROM ("+e.SQL+") AS q",
		params, nil, nil, nil).Read()
	if res.Err != nil {
		t.Fatal(res.Err)
	}
	if err := json.Unmarshal(res.Rows[0][0], &rows); err != nil {
		t.Fatal(err)
	}
	return rows
}

// What cannot be done is refused before the database is asked, with status 2, and nothing is overwritten. Broken
// by: a file that is truncated, a URL that is shown.
func TestInitRefuses(t *testing.T) {
	t.Parallel()
	there := specFile(t, "mine: yes\n")
	free := filepath.Join(t.TempDir(), "new.yaml")
	good := map[string]string{"DATABASE_URL": "postgres://u:hush-hush@127.0.0.1:1/x",
		"REDIS_URL": "redis://127.0.0.1:1"}
	for _, c := range []struct {
		why    string
		vars   map[string]string
		args   string
		status int
		say    string
	}{
		{"the file is there", good, "--out " + there, 2, "is not overwritten"},
		{"also as --config", good, "--config " + there, 2, "is not overwritten"},
		{"no folder", good, "--out " + there + ".d/x.yaml", 2, "no such folder"},
		{"no URL", nil, "--out " + free, 2, "DATABASE_URL is not set"},
		{"a URL of something else", map[string]string{"DATABASE_URL": "mysql://u:hush-hush@h/x"}, "--out " + free, 2,
			"DATABASE_URL"},
		{"a Redis URL of something else", map[string]string{"DATABASE_URL": good["DATABASE_URL"],
			"REDIS_URL": "http://u:hush-hush@h"}, "--out " + free, 2, "REDIS_URL"},
		{"no database", good, "--out " + free, 1, "connect"},
		{"no jobs", good, "--jobs 0 --out " + free, 2, "--jobs"},
	} {
		r := stoker(t, c.vars, append([]string{"init"}, strings.Fields(c.args)...)...)
		if r.status != c.status || !strings.Contains(r.stderr, c.say) ||
			strings.Contains(r.stdout+r.stderr, "hush-hush") {
			t.Errorf("%s: %+v", c.why, r)
		}
	}
	if text, err := os.ReadFile(there); err != nil || string(text) != "mine: yes\n" {
		t.Errorf("the file: %q, %v", text, err)
	}
	if _, err := os.Stat(free); err == nil {
		t.Error("a file was written")
	}
}

// Without pg_stat_statements, the keys and indexes that are used make the spec, and it says what is missing. Broken
// by: an error where a word would do, a spec that check refuses.
func TestInitWithoutStatements(t *testing.T) {
	t.Parallel()
	url := storetest.Postgres(t)
	schema, err := os.ReadFile(filepath.Join(repo, "store/postgres/discover/testdata/northwind.sql"))
	if err != nil {
		t.Fatal(err)
	}
	storetest.Exec(t, url, string(schema))
	vars := map[string]string{"DATABASE_URL": url, "REDIS_URL": storetest.Redis(t)}
	r := stoker(t, vars, "init", "--out", "-")
	if r.status != 0 || !strings.Contains(r.stdout, "shared_preload_libraries") || !strings.Contains(r.stdout,
		`key: "products:{product_id}"`) {
		t.Fatalf("%+v", r)
	}
	if c := stoker(t, vars, "check", "--config", specFile(t, r.stdout)); c.status != 0 {
		t.Errorf("check: %s%s", c.stdout, c.stderr)
	}
}
