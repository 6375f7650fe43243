package discover

import (
	"os"
	"strings"
	"testing"

	"github.com/stokerhq/stoker/store/storetest"
)

// Of twelve endpoints of an API, ten are answered by a job, and the other two are left out with the reason that holds
// for them. Broken by: a condition that is kept, two shapes of one read that make two jobs, a LIMIT that is lost, a
// statement that locks rows.
func TestSampleDatabases(t *testing.T) {
	server := storetest.OwnPostgres(t, "shared_preload_libraries = 'pg_stat_statements'")
	for _, name := range []string{"chinook", "northwind", "pagila"} {
		t.Run(name, func(t *testing.T) {
			url := sampleDatabase(t, server.URL("postgres"), server.URL(name), name)
			api := storetest.ReadAPI(t, "testdata/"+name+".api")
			storetest.Drive(t, url, api, 20)
			r := run(t, url, nil)
			keys := make(map[string]bool)
			answered := 0
			for _, f := range r.Found {
				prefix, _, _ := strings.Cut(f.Key, ":")
				keys[prefix] = true
				answered += f.Shapes
			}
			if answered != 10 || len(r.Left) != 2 {
				t.Errorf("%d endpoints are answered, %d left", answered, len(r.Left))
			}
			for _, e := range api {
				reason, left := strings.CutPrefix(e.About, "left: ")
				prefix, _, _ := strings.Cut(e.About, ":")
				if !left && !keys[prefix] || left && !leftOut(r, e.SQL, reason) {
					t.Errorf("%s: want %s", e.Title, e.About)
				}
			}
			if t.Failed() {
				show(t, r)
			}
		})
	}
}

func sampleDatabase(t *testing.T, server, url, name string) string {
	t.Helper()
	schema, err := os.ReadFile("testdata/" + name + ".sql")
	if err != nil {
		t.Fatal(err)
	}
	storetest.Exec(t, server, "CREATE DATABASE "+name)
	storetest.Exec(t, url, string(schema), "CREATE EXTENSION pg_stat_statements", "SELECT pg_stat_statements_reset()")
	return url
}

func leftOut(r *Report, sql, reason string) bool {
	for _, l := range r.Left {
		if strings.HasPrefix(l.Query, sql[:12]) && strings.Contains(l.Reason, reason) {
			return true
		}
	}
	return false
}

func show(t *testing.T, r *Report) {
	t.Helper()
	for _, f := range r.Found {
		t.Logf("%s, %s, %d calls of %d statements, %d rows, %d keys: %q\n%s", f.Key, f.Value, f.Calls, f.Shapes, f.Rows,
			f.Keys, f.Notes, f.Query)
	}
	for _, l := range r.Left {
		t.Logf("left: %s\n%s", l.Query, l.Reason)
	}
}
