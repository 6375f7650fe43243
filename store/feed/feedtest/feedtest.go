// Package feedtest is what the tests of the change feeds share: a small shop, specs that
// watch it, and connections to it. Only tests import it.
package feedtest

import (
	"context"
	"errors"
	"maps"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/feed"
	"github.com/stokerhq/stoker/store/postgres"
	"github.com/stokerhq/stoker/store/storetest"
	"github.com/stokerhq/stoker/store/testserver"
)

// Shop makes the tables of a small shop.
const Shop = `
CREATE TABLE product (id int PRIMARY KEY, name text, supplier_id int);
CREATE TABLE price (product_id int, at timestamptz, amount numeric(10,2));
CREATE TABLE category (id int, name text);
INSERT INTO product SELECT i, 'p' || i, i % 10 FROM generate_series(1, 1000) i`

// Spec is a spec of jobs with these key templates and watches; their names are the
// first words of the keys.
func Spec(t testing.TB, source jobs.Source, watches map[string][]jobs.Watch) *jobs.Spec {
	t.Helper()
	spec := &jobs.Spec{File: "stoker.yaml", Changes: jobs.Changes{Source: source, RunAbove: 100, Name: "stoker",
		Slot: jobs.SlotTemporary}}
	for _, key := range slices.Sorted(maps.Keys(watches)) {
		template, err := jobs.ParseKeyTemplate(key)
		if err != nil {
			t.Fatal(err)
		}
		name, _, _ := strings.Cut(key, ":")
		spec.Jobs = append(spec.Jobs, &jobs.Job{Name: name, Query: "SELECT 1 AS id", Key: template,
			Value: jobs.ValueRow, Watch: watches[key]})
	}
	return spec
}

// ShopWatches watch the tables of the shop in the ways there are.
func ShopWatches() map[string][]jobs.Watch {
	return map[string][]jobs.Watch{
		"product:{id}": {{Table: "product", Key: map[string]string{"id": "id"}},
			{Table: "price", Key: map[string]string{"id": "product_id"}}},
		"supplier:{n}": {{Table: "product", Column: "supplier_id", Keys: "SELECT unnest($1::int[]) AS n"}},
		"menu":         {{Table: "category"}},
	}
}

// ByKey watches a table whose column id names the key.
func ByKey(table string) map[string][]jobs.Watch {
	return map[string][]jobs.Watch{"a:{id}": {{Table: table, Key: map[string]string{"id": "id"}}}}
}

// ByQuery watches the suppliers of products with a keys query.
func ByQuery(query string) map[string][]jobs.Watch {
	return map[string][]jobs.Watch{"a:{id}": {{Table: "product", Column: "supplier_id", Keys: query}}}
}

// Job is a job with this query and key template.
func Job(t *testing.T, query, key string) *jobs.Job {
	t.Helper()
	k, err := jobs.ParseKeyTemplate(key)
	if err != nil {
		t.Fatal(err)
	}
	return &jobs.Job{Name: "j", Query: query, Key: k, Value: jobs.ValueRow, Timeout: time.Minute}
}

// Open opens a source of the database, until the test ends.
func Open(t testing.TB, dsn string) *postgres.Source {
	t.Helper()
	s, err := postgres.Open(jobs.Postgres{URL: jobs.NewSecret(dsn), MaxConnections: 2,
		StatementTimeout: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// Now takes a snapshot.
func Now(t *testing.T, s *postgres.Source) store.Snapshot {
	t.Helper()
	at, err := s.Now(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// Checked is what feed.Check finds, a line a problem; own is the check of the feed.
func Checked(t *testing.T, s *postgres.Source, spec *jobs.Spec,
	own func(context.Context, *feed.Checkup, []feed.Table) error) (lines []string) {
	t.Helper()
	problems, err := feed.Check(t.Context(), s, spec, own)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		grade := "warn"
		if p.Fatal {
			grade = "fail"
		}
		lines = append(lines, strings.TrimSpace(grade+" "+p.Job)+": "+p.Message)
	}
	return lines
}

// WantProblems compares what Checked found.
func WantProblems(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// Pooled starts a PgBouncer in transaction mode before the server.
func Pooled(t *testing.T, server *testserver.Postgres, settings ...string) *testserver.PgBouncer {
	t.Helper()
	b, err := testserver.StartPgBouncer(t.Context(), server, settings...)
	if _, missing := errors.AsType[*testserver.MissingError](err); missing && runtime.GOOS != "linux" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// AsRole is a connection string of another role.
func AsRole(t *testing.T, connection, role, password string) string {
	t.Helper()
	u, err := url.Parse(connection)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword(role, password)
	return u.String()
}

// Eventually waits until ok, for some seconds.
func Eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	storetest.Eventually(t, 15*time.Second, what, ok)
}
