package feed_test

import (
	"testing"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store/feed"
	"github.com/stokerhq/stoker/store/feed/feedtest"
	"github.com/stokerhq/stoker/store/feed/wal"
	"github.com/stokerhq/stoker/store/postgres"
	"github.com/stokerhq/stoker/store/storetest"
)

// What is wrong with watched tables and with queries for keys is told in both
// modes, with the remedy.
func TestCheckTablesAndQueries(t *testing.T) {
	url := storetest.Postgres(t)
	storetest.Exec(t, url, feedtest.Shop, "ALTER TABLE product REPLICA IDENTITY FULL",
		"CREATE VIEW seen AS SELECT 1 AS id", "CREATE MATERIALIZED VIEW kept AS SELECT 1 AS id",
		"CREATE UNLOGGED TABLE bare (id int PRIMARY KEY)",
		"CREATE EXTENSION postgres_fdw", "CREATE SERVER away FOREIGN DATA WRAPPER postgres_fdw",
		"CREATE FOREIGN TABLE far (id int) SERVER away")
	s := feedtest.Open(t, url)
	for _, c := range []struct {
		name    string
		watches map[string][]jobs.Watch
		want    []string
	}{
		{"nothing", map[string][]jobs.Watch{"a:{id}": nil},
			[]string{"warn: no job has a watch list: no change refreshes anything"}},
		{"good", feedtest.ByQuery("SELECT id FROM product WHERE supplier_id = ANY($1)"), nil},
		{"no table", feedtest.ByKey("nosuch"), []string{"fail a: the watched table nosuch does not exist, or is " +
			"not in the search_path of Stoker's role: correct its name, or write schema.table"}},
		{"view", feedtest.ByKey("seen"), []string{"fail a: public.seen, which is watched, is a view: its changes " +
			"are told nowhere; watch the tables that it reads"}},
		{"materialized view", feedtest.ByKey("kept"),
			[]string{"fail a: public.kept, which is watched, is a materialized view: its changes are told nowhere; " +
				"watch the tables that it reads"}},
		{"foreign table", feedtest.ByKey("far"), []string{"fail a: public.far, which is watched, is a foreign " +
			"table: its changes are told nowhere; watch the tables that it reads"}},
		{"unlogged", feedtest.ByKey("bare"), []string{"fail a: public.bare is an unlogged table, whose changes are " +
			"not in the write-ahead log: ALTER TABLE public.bare SET LOGGED, or use changes.source: outbox"}},
		{"no column", map[string][]jobs.Watch{"a:{id}": {{Table: "product", Key: map[string]string{"id": "pid"}}}},
			[]string{"fail a: table public.product has no column pid, which its watch entry names; it has: id, " +
				"name, supplier_id"}},
		{"no such query", feedtest.ByQuery("SELECT id FROM product\nWHERE suplier_id = ANY($1)"),
			[]string{"fail a: the keys query of watched table product: column \"suplier_id\" does not exist " +
				"(SQLSTATE 42703) at line 2, column 7"}},
		{"a statement that is no subquery", feedtest.ByQuery("WITH gone AS (DELETE FROM price RETURNING " +
			"product_id) SELECT product_id AS id FROM gone\nWHERE product_id = ANY($1)"), []string{
			"fail a: the keys query of watched table product: WITH clause containing a data-modifying statement " +
				"must be at the top level (SQLSTATE 0A000) at line 1, column 6"}},
		{"a semicolon", feedtest.ByQuery("SELECT id FROM product\nWHERE supplier_id = ANY($1);"), []string{
			"fail a: the keys query of watched table product: syntax error at or near \";\" (SQLSTATE 42601) at " +
				"line 2, column 28"}},
		{"no parameter", feedtest.ByQuery("SELECT id FROM product"),
			[]string{"fail a: the keys query of watched table product has 0 parameters, not one: write ... = " +
				"ANY($1), which is the array of the changed values of supplier_id"}},
		{"no array", feedtest.ByQuery("SELECT id FROM product WHERE supplier_id = $1"),
			[]string{"fail a: the parameter of the keys query of watched table product is integer, not an array: " +
				"write = ANY($1)"}},
		{"no key", feedtest.ByQuery("SELECT id AS pid FROM product WHERE supplier_id = ANY($1)"),
			[]string{"fail a: the keys query of watched table product does not return the key's column id: give " +
				"one that name with AS"}},
	} {
		spec := feedtest.Spec(t, jobs.SourceWAL, c.watches)
		spec.Changes.URL = jobs.NewSecret(url)
		feedtest.WantProblems(t, c.name, checked(t, s, spec), c.want...)
	}
	spec := feedtest.Spec(t, jobs.SourceNone, feedtest.ByKey("nosuch"))
	feedtest.WantProblems(t, "no feed", checked(t, s, spec))
}

func checked(t *testing.T, s *postgres.Source, spec *jobs.Spec) []string {
	t.Helper()
	return feedtest.Checked(t, s, spec, wal.Check)
}

func TestErrors(t *testing.T) {
	if err := feed.Errors([]feed.Problem{{Message: "a warning"}}); err != nil {
		t.Errorf("warnings: %v", err)
	}
	err := feed.Errors([]feed.Problem{{Fatal: true, Job: "a", Message: "one"}, {Fatal: true, Message: "two"}})
	if err == nil || err.Error() != "job a: one\ntwo" {
		t.Errorf("two problems: %v", err)
	}
}
