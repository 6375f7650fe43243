package wal_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store/feed/feedtest"
	"github.com/stokerhq/stoker/store/storetest"
)

// generatedSQL are tables with generated columns: beside the key, in FULL, and as the primary key.
var generatedSQL = []string{
	"CREATE TABLE aside (id int PRIMARY KEY, x int, g int GENERATED ALWAYS AS (x * 2) STORED)",
	"CREATE TABLE whole (id int PRIMARY KEY, x int, g int GENERATED ALWAYS AS (x * 2) STORED)",
	"ALTER TABLE whole REPLICA IDENTITY FULL",
	"CREATE TABLE keyed (x int, g int GENERATED ALWAYS AS (x * 2) STORED PRIMARY KEY)",
	"CREATE TABLE parted (id int, x int, g int GENERATED ALWAYS AS (x * 2) STORED) PARTITION BY RANGE (id)",
	"CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (0) TO (9)",
	"ALTER TABLE parted REPLICA IDENTITY FULL", "ALTER TABLE parted_1 REPLICA IDENTITY FULL",
	"INSERT INTO aside VALUES (1, 1)", "INSERT INTO whole VALUES (1, 1)", "INSERT INTO keyed VALUES (1)",
	"INSERT INTO parted VALUES (1, 1)",
}

// byGenerated watches the column g of tables; the jobs have their names.
func byGenerated(t *testing.T, url string, tables ...string) *jobs.Spec {
	t.Helper()
	watches := make(map[string][]jobs.Watch)
	for _, table := range tables {
		watches[table+":{g}"] = []jobs.Watch{{Table: table, Key: map[string]string{"g": "g"}}}
	}
	spec := feedtest.Spec(t, jobs.SourceWAL, watches)
	spec.Changes.URL = jobs.NewSecret(url)
	return spec
}

// Before Postgres 18 no generated column is in the log: each commit runs the whole job, which check says.
func TestGeneratedColumnsBefore18(t *testing.T) {
	url := storetest.Postgres(t)
	if query(t, url, "SELECT current_setting('server_version_num')") >= "180000" {
		t.Skip("this is Postgres 18")
	}
	storetest.Exec(t, url, generatedSQL...)
	s := feedtest.Open(t, url)
	spec := byGenerated(t, url, "aside", "keyed", "parted", "whole")
	want := []string{noKey("parted")}
	for _, table := range []string{"aside", "keyed", "parted", "whole"} {
		want = append(want, "warn "+table+": column g of table public."+table+", which its watch entry names, is "+
			"generated, and Postgres before 18 does not write generated columns to the write-ahead log: each change "+
			"of the table runs the whole job; watch a column that it is computed from, with column and keys, use "+
			"changes.source: outbox, or upgrade to Postgres 18")
	}
	feedtest.WantProblems(t, "generated columns", checked(t, s, spec), want...)
	w, _ := openWAL(t, s, spec)
	storetest.Exec(t, url, "UPDATE whole SET x = 2")
	if got, _ := next(t, w, 1); got != "whole whole: a change of table whole that does not carry its column g" {
		t.Errorf("effect %s", got)
	}
	// The remedy that check names.
	spec = feedtest.Spec(t, jobs.SourceWAL, map[string][]jobs.Watch{"whole:{g}": {
		{Table: "whole", Column: "x", Keys: "SELECT x * 2 AS g FROM unnest($1::int[]) AS x"}}})
	spec.Changes.URL = jobs.NewSecret(url)
	feedtest.WantProblems(t, "the remedy", checked(t, s, spec), "warn: publication stoker has public.aside, "+
		"public.keyed, public.parted, which no job watches: stoker changes install --apply takes it out")
}

// Broken by: a publication without generated columns, with which the application's UPDATE fails on Postgres 18.
func TestGeneratedColumns18(t *testing.T) {
	url := storetest.Postgres18(t)
	storetest.Exec(t, url, generatedSQL...)
	storetest.Exec(t, url, "ALTER TABLE aside REPLICA IDENTITY FULL")
	s, spec := feedtest.Open(t, url), byGenerated(t, url, "aside", "keyed", "parted", "whole")
	feedtest.WantProblems(t, "generated columns", checked(t, s, spec), noKey("parted"))
	w, _ := openWAL(t, s, spec)
	for _, table := range []string{"aside", "keyed", "parted", "whole"} {
		for _, step := range []struct{ sql, want string }{
			{"UPDATE " + table + " SET x = 2", "TABLE map[g:2]\nTABLE map[g:4]"},
			{"DELETE FROM " + table, "TABLE map[g:4]"},
		} {
			storetest.Exec(t, url, step.sql)
			if got, _ := next(t, w, 1); got != strings.ReplaceAll(step.want, "TABLE", table) {
				t.Errorf("%s\nhas the effect %s", step.sql, got)
			}
		}
	}
	// A column that a migration adds later.
	storetest.Exec(t, url, "ALTER TABLE whole ADD h int GENERATED ALWAYS AS (x + 1) STORED",
		"INSERT INTO whole VALUES (3, 3)", "UPDATE whole SET x = 4")
}

// A publication that was made on an older server, or by somebody else, does not have the generated columns.
func TestGeneratedColumnsOfOldPublication18(t *testing.T) {
	const sql = `ALTER PUBLICATION "stoker" SET (publish_generated_columns = stored)`
	url := storetest.Postgres18(t)
	storetest.Exec(t, url, generatedSQL...)
	storetest.Exec(t, url, "CREATE PUBLICATION stoker FOR TABLE aside, whole WITH (publish_via_partition_root = true)")
	s, spec := feedtest.Open(t, url), byGenerated(t, url, "whole")
	spec.Jobs[0].Watch = append(spec.Jobs[0].Watch, jobs.Watch{Table: "aside"})
	feedtest.WantProblems(t, "somebody else's", checked(t, s, spec),
		"fail whole: column g of table public.whole, which its watch entry names, is generated, and publication "+
			"stoker does not publish it: "+sql,
		"fail: the replica identity of table public.whole has the generated column g, which publication stoker does "+
			"not publish: the application's own UPDATE and DELETE on it fail; have its owner run: "+sql)
	storetest.Exec(t, url, "ALTER TABLE whole REPLICA IDENTITY DEFAULT")
	if got := strings.Join(checked(t, s, spec), "\n"); !strings.Contains(got, "which is not in its replica identity "+
		"(id): first "+sql+", then ALTER TABLE public.whole REPLICA IDENTITY FULL") {
		t.Errorf("FULL is recommended before the publication has the column: %s", got)
	}
	storetest.Exec(t, url, "ALTER TABLE whole REPLICA IDENTITY FULL")
	var log bytes.Buffer
	p := newProtector(s, spec, &log)
	if once(t, p); !strings.Contains(log.String(), "generated column that is not published") ||
		!strings.Contains(log.String(), "publish_generated_columns = stored") || published(t, url) != "aside whole" {
		t.Errorf("of somebody else: %s", log.String())
	}
	storetest.Exec(t, url, "COMMENT ON PUBLICATION stoker IS 'Made by Stoker'")
	feedtest.WantProblems(t, "Stoker's own", checked(t, s, spec))
	if err := tryExec(t, url, "UPDATE whole SET x = 5"); err == nil {
		t.Fatal("the test does not hurt the application")
	}
	once(t, newProtector(s, spec, &log))
	storetest.Exec(t, url, "UPDATE whole SET x = 5")
	storetest.Exec(t, url, "ALTER PUBLICATION stoker SET (publish_generated_columns = none)")
	w, _ := openWAL(t, s, spec)
	storetest.Exec(t, url, "UPDATE whole SET x = 6")
	if got, _ := next(t, w, 1); got != "whole map[g:10]\nwhole map[g:12]" {
		t.Errorf("effect %s", got)
	}
}

// Virtual generated columns are in no log and no publication: FULL is not recommended for their tables, and refused.
func TestVirtualColumns18(t *testing.T) {
	url := storetest.Postgres18(t)
	storetest.Exec(t, url, "CREATE TABLE v (id int NOT NULL, x int, g int GENERATED ALWAYS AS (x * 2) VIRTUAL)",
		"CREATE UNIQUE INDEX v_id ON v (id)", "INSERT INTO v VALUES (1, 1)", "CREATE TABLE other (id int PRIMARY KEY)")
	s, spec := feedtest.Open(t, url), byGenerated(t, url, "v")
	const noIdentity = ": table public.v has no replica identity: once it is published, the application's own " +
		"UPDATE and DELETE on it would fail; add a primary key that is not DEFERRABLE, or: ALTER TABLE public.v " +
		"REPLICA IDENTITY USING INDEX (a unique one on columns that are NOT NULL; not FULL, because of the virtual " +
		"column g)"
	feedtest.WantProblems(t, "as a key", checked(t, s, spec),
		"fail v: column g of table public.v, which its watch entry names, is a virtual generated column, which no "+
			"change carries: make it STORED, or watch a column that it is computed from, with column and keys",
		"fail"+noIdentity)
	byID := feedtest.Spec(t, jobs.SourceWAL, map[string][]jobs.Watch{"v:{id}": {
		{Table: "v", Key: map[string]string{"id": "id"}}, {Table: "other"}}})
	byID.Changes.URL = jobs.NewSecret(url)
	feedtest.WantProblems(t, "without an identity", checked(t, s, byID), "fail"+noIdentity)
	storetest.Exec(t, url, "ALTER TABLE v REPLICA IDENTITY FULL")
	feedtest.WantProblems(t, "with FULL", checked(t, s, byID), "fail: the replica identity of table public.v has the "+
		"virtual generated column g, which no publication can have: once it is published, the application's own "+
		"UPDATE and DELETE on it would fail; ALTER TABLE public.v REPLICA IDENTITY DEFAULT (with a primary key) or "+
		"USING INDEX (a unique one on columns that are NOT NULL), or make the column STORED")
	storetest.Exec(t, url, "ALTER TABLE v REPLICA IDENTITY USING INDEX v_id")
	feedtest.WantProblems(t, "with an index", checked(t, s, byID))
	w, _ := openWAL(t, s, byID)
	storetest.Exec(t, url, "UPDATE v SET x = 2")
	if got, _ := next(t, w, 1); got != "v map[id:1]" {
		t.Errorf("effect %s", got)
	}
	var log bytes.Buffer
	p := newProtector(s, byID, &log)
	once(t, p)
	storetest.Exec(t, url, "ALTER TABLE v REPLICA IDENTITY FULL")
	if err := tryExec(t, url, "UPDATE v SET x = 3"); err == nil {
		t.Fatal("the test does not hurt the application")
	}
	once(t, p)
	storetest.Exec(t, url, "UPDATE v SET x = 3")
	if got := published(t, url); got != "other" {
		t.Errorf("published are %q", got)
	}
}

// The feed as a whole, on Postgres 18.
func TestWAL18(t *testing.T) {
	url := storetest.Postgres18(t)
	storetest.Exec(t, url, walSQL...)
	s, spec := feedtest.Open(t, url), walSpec(t, url)
	w, _ := openWAL(t, s, spec)
	storetest.Exec(t, url, "UPDATE plain SET id = 400 WHERE id = 4")
	if got, _ := next(t, w, 1); got != "lookup asks [1]\nplain map[id:4]\nplain map[id:400]" {
		t.Errorf("effect %s", got)
	}
}

// Broken by: a table that one job's watch entry does not fit, and whose missing identity is therefore not seen: the
// feed is opened for the other job, and the application's UPDATE fails.
func TestCheckIdentityOfTableWithWrongColumn(t *testing.T) {
	url := storetest.Postgres(t)
	storetest.Exec(t, url, "CREATE TABLE item (id int)")
	spec := feedtest.Spec(t, jobs.SourceWAL, map[string][]jobs.Watch{
		"a:{id}": {{Table: "item", Key: map[string]string{"id": "nosuch"}}}, "b": {{Table: "item"}}})
	spec.Changes.URL = jobs.NewSecret(url)
	got := checked(t, feedtest.Open(t, url), spec)
	if len(got) != 2 || !strings.Contains(got[0], "has no column nosuch") ||
		!strings.Contains(got[1], "table public.item has no replica identity") {
		t.Errorf("problems %q", got)
	}
}
