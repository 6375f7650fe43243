package postgres_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store/postgres"
	"github.com/stokerhq/stoker/store/storetest"
)

// checked is what CheckChanges says, a line a problem.
func checked(t *testing.T, s *postgres.Source, spec *jobs.Spec) (lines []string) {
	t.Helper()
	problems, err := s.CheckChanges(t.Context(), spec)
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

func wantProblems(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// byKey watches a table whose column id names the key.
func byKey(table string) map[string][]jobs.Watch {
	return map[string][]jobs.Watch{"a:{id}": {{Table: table, Key: map[string]string{"id": "id"}}}}
}

func asking(query string) map[string][]jobs.Watch {
	return map[string][]jobs.Watch{"a:{id}": {{Table: "product", Column: "supplier_id", Keys: query}}}
}

// What is wrong with watched tables and with queries for keys is told in both
// modes, with the remedy.
func TestCheckTablesAndQueries(t *testing.T) {
	url := storetest.Postgres(t)
	storetest.Exec(t, url, outboxShop, "ALTER TABLE product REPLICA IDENTITY FULL",
		"CREATE VIEW seen AS SELECT 1 AS id", "CREATE MATERIALIZED VIEW kept AS SELECT 1 AS id", "CREATE UNLOGGED TABLE bare (id int PRIMARY KEY)",
		"CREATE EXTENSION postgres_fdw", "CREATE SERVER away FOREIGN DATA WRAPPER postgres_fdw", "CREATE FOREIGN TABLE far (id int) SERVER away")
	s := open(t, url)
	for _, c := range []struct {
		name    string
		watches map[string][]jobs.Watch
		want    []string
	}{
		{"nothing", map[string][]jobs.Watch{"a:{id}": nil}, []string{"warn: no job has a watch list: no change refreshes anything"}},
		{"good", asking("SELECT id FROM product WHERE supplier_id = ANY($1)"), nil},
		{"no table", byKey("nosuch"), []string{"fail a: the watched table nosuch does not exist, or is not in the search_path of Stoker's role: correct its name, or write schema.table"}},
		{"view", byKey("seen"), []string{"fail a: public.seen, which is watched, is a view: its changes are told nowhere; watch the tables that it reads"}},
		{"materialized view", byKey("kept"), []string{"fail a: public.kept, which is watched, is a materialized view: its changes are told nowhere; watch the tables that it reads"}},
		{"foreign table", byKey("far"), []string{"fail a: public.far, which is watched, is a foreign table: its changes are told nowhere; watch the tables that it reads"}},
		{"unlogged", byKey("bare"), []string{"fail a: public.bare is an unlogged table, whose changes are not in the write-ahead log: ALTER TABLE public.bare SET LOGGED, or use changes.source: outbox"}},
		{"no column", map[string][]jobs.Watch{"a:{id}": {{Table: "product", Key: map[string]string{"id": "pid"}}}},
			[]string{"fail a: table public.product has no column pid, which its watch entry names; it has: id, name, supplier_id"}},
		{"no such query", asking("SELECT id FROM product\nWHERE suplier_id = ANY($1)"), []string{"fail a: the keys query of watched table product: column \"suplier_id\" does not exist (SQLSTATE 42703) at line 2, column 7"}},
		{"a statement that is no subquery", asking("WITH gone AS (DELETE FROM price RETURNING product_id) SELECT product_id AS id FROM gone\nWHERE product_id = ANY($1)"), []string{
			"fail a: the keys query of watched table product: WITH clause containing a data-modifying statement must be at the top level (SQLSTATE 0A000) at line 1, column 6"}},
		{"a semicolon", asking("SELECT id FROM product\nWHERE supplier_id = ANY($1);"), []string{
			"fail a: the keys query of watched table product: syntax error at or near \";\" (SQLSTATE 42601) at line 2, column 28"}},
		{"no parameter", asking("SELECT id FROM product"), []string{"fail a: the keys query of watched table product has 0 parameters, not one: write ... = ANY($1), which is the array of the changed values of supplier_id"}},
		{"no array", asking("SELECT id FROM product WHERE supplier_id = $1"), []string{"fail a: the parameter of the keys query of watched table product is integer, not an array: write = ANY($1)"}},
		{"no key", asking("SELECT id AS pid FROM product WHERE supplier_id = ANY($1)"), []string{"fail a: the keys query of watched table product does not return the key's column id: give one that name with AS"}},
	} {
		spec := watching(t, jobs.SourceWAL, c.watches)
		spec.Changes.URL = jobs.NewSecret(url)
		wantProblems(t, c.name, checked(t, s, spec), c.want...)
	}
	spec := watching(t, jobs.SourceNone, byKey("nosuch"))
	wantProblems(t, "no feed", checked(t, s, spec))
}

// What would make the application's own statements fail, or lose changes, is told
// before a publication is made.
func TestCheckReplicaIdentity(t *testing.T) {
	url := storetest.Postgres(t)
	storetest.Exec(t, url, outboxShop, "CREATE TABLE sale (at int, id int) PARTITION BY RANGE (at)", "CREATE TABLE sale_a PARTITION OF sale FOR VALUES FROM (0) TO (10)")
	s := open(t, url)
	const remedy = " has no replica identity: once it is published, the application's own UPDATE and DELETE on it would fail; add a primary key that is not DEFERRABLE, or: ALTER TABLE "
	const or = " REPLICA IDENTITY FULL (or USING INDEX, a unique one on columns that are NOT NULL)"
	for _, c := range []struct {
		watches map[string][]jobs.Watch
		want    []string
	}{
		{map[string][]jobs.Watch{"a": {{Table: "category"}}, "b": {{Table: "category"}}}, []string{"fail: table public.category" + remedy + "public.category" + or}},
		{byKey("sale"), []string{"fail: table public.sale_a" + remedy + "public.sale_a" + or,
			"fail a: updates and deletes of table public.sale do not carry the old value of id, which is not in its replica identity (none): " +
				"ALTER TABLE public.sale REPLICA IDENTITY FULL (or USING INDEX, a unique one that has the column), or watch the table without key and column"}},
		{byKey("product"), nil},
		{asking("SELECT id FROM product WHERE supplier_id = ANY($1)"), []string{"fail a: updates and deletes of table public.product do not carry the old value of supplier_id, which is not in its replica identity (id): " +
			"ALTER TABLE public.product REPLICA IDENTITY FULL (or USING INDEX, a unique one that has the column), or watch the table without key and column"}},
	} {
		spec := watching(t, jobs.SourceWAL, c.watches)
		spec.Changes.URL = jobs.NewSecret(url)
		wantProblems(t, "replica identity", checked(t, s, spec), c.want...)
	}
}

func TestCheckOutbox(t *testing.T) {
	r := newShopOutbox(t)
	wantProblems(t, "installed", checked(t, r.source, r.spec))
	r.exec("CREATE TABLE sale (at int, id int) PARTITION BY RANGE (at)", "CREATE ROLE outbox_checker LOGIN PASSWORD 'checker'")
	t.Cleanup(func() { storetest.Exec(t, r.url, "DROP OWNED BY outbox_checker", "DROP ROLE outbox_checker") })
	job, _ := r.spec.Job("menu")
	job.Watch[0].Table = "sale"
	const ask = ": have the owner of the tables run: stoker outbox install --apply"
	wantProblems(t, "another table", checked(t, r.source, r.spec), "fail: table public.sale has no triggers that write to the outbox"+ask)
	r.install()
	r.exec("CREATE TABLE sale_a PARTITION OF sale FOR VALUES FROM (0) TO (10)", "ALTER TABLE price DISABLE TRIGGER "+r.triggerName("price", "update"),
		"DROP TRIGGER "+r.triggerName("product", "truncate")+" ON product")
	wantProblems(t, "half of it", checked(t, open(t, asRole(t, r.url, "outbox_checker", "checker")), r.spec),
		"fail: table public.product has no trigger for truncate that writes to the outbox"+ask,
		"fail: the triggers of table public.price for update are disabled, or not enabled always"+ask,
		"fail: Stoker's role may not SELECT and DELETE the outbox: GRANT SELECT, DELETE ON public.stoker_outbox TO outbox_checker",
		"warn: of table public.sale, statements that name its part public.sale_a directly are not recorded: run stoker outbox install --apply after a part was added")
	r.install()
	wantProblems(t, "installed again", checked(t, r.source, r.spec))
	r.exec("DROP TABLE stoker_outbox")
	wantProblems(t, "dropped", checked(t, r.source, r.spec), "fail: there is no table stoker_outbox in the search_path of Stoker's role"+ask)
}
