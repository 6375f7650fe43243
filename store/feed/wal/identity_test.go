package wal_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store/feed/feedtest"
	"github.com/stokerhq/stoker/store/storetest"
)

// A deferrable primary key is no replica identity to Postgres: the application's
// UPDATE of a published table that has no other fails.
func TestCheckDeferrablePrimaryKey(t *testing.T) {
	url := storetest.Postgres(t)
	storetest.Exec(t, url, "CREATE TABLE late (id int PRIMARY KEY DEFERRABLE)")
	spec := feedtest.Spec(t, jobs.SourceWAL, feedtest.ByKey("late"))
	spec.Changes.URL = jobs.NewSecret(url)
	feedtest.WantProblems(t, "deferrable", checked(t, feedtest.Open(t, url), spec),
		"fail: table public.late has no replica identity: once it is published, the application's own UPDATE and "+
			"DELETE on it would fail; "+
			"add a primary key that is not DEFERRABLE, or: ALTER TABLE public.late REPLICA IDENTITY FULL (or USING "+
			"INDEX, a unique one on columns that are NOT NULL)")
}

// halves are partitioned tables whose own replica identity is not their
// partitions'.
var halves = []string{
	"CREATE TABLE whole_root (id int, at int, other int, PRIMARY KEY (id, at)) PARTITION BY RANGE (at)",
	"CREATE TABLE whole_root_1 PARTITION OF whole_root FOR VALUES FROM (0) TO (9)",
	"ALTER TABLE whole_root REPLICA IDENTITY FULL",
	"CREATE TABLE whole_leaf (id int, at int, other int, PRIMARY KEY (id, at)) PARTITION BY RANGE (at)",
	"CREATE TABLE whole_leaf_1 PARTITION OF whole_leaf FOR VALUES FROM (0) TO (9)",
	"ALTER TABLE whole_leaf_1 REPLICA IDENTITY FULL",
	"CREATE TABLE bare_root (id int, at int) PARTITION BY RANGE (at)",
	"CREATE TABLE bare_root_1 PARTITION OF bare_root FOR VALUES FROM (0) TO (9)",
	"ALTER TABLE bare_root_1 REPLICA IDENTITY FULL",
}

func byOther(table string) map[string][]jobs.Watch {
	return map[string][]jobs.Watch{"a:{id}": {{Table: table, Key: map[string]string{"id": "other"}}}}
}

// The changes of a partition are told as its root's: an old value must be in the
// replica identity of both.
func TestCheckIdentityOfPartitions(t *testing.T) {
	url := storetest.Postgres(t)
	storetest.Exec(t, url, halves...)
	carries := func(job, table, column, identity string) string {
		return "fail " + job + ": updates and deletes of table public." + table + " do not carry the old value of " +
			column + ", which is not in its replica identity (" + identity + "): " +
			"ALTER TABLE public." + table + " REPLICA IDENTITY FULL (or USING INDEX, a unique one that has the " +
			"column), or watch the table without key and column"
	}
	for _, c := range []struct {
		name    string
		watches map[string][]jobs.Watch
		want    []string
	}{
		{"the leaf lacks it", byOther("whole_root"), []string{carries("a", "whole_root_1", "other", "id, at")}},
		{"the root lacks it", byOther("whole_leaf"), []string{carries("a", "whole_leaf", "other", "id, at")}},
		{"both have it", feedtest.ByKey("whole_leaf"), nil},
		{"the root has none", feedtest.ByKey("bare_root"), []string{
			noKey("bare_root"),
			carries("a", "bare_root", "id", "none")}},
	} {
		spec := feedtest.Spec(t, jobs.SourceWAL, c.watches)
		spec.Changes.URL = jobs.NewSecret(url)
		feedtest.WantProblems(t, c.name, checked(t, feedtest.Open(t, url), spec), c.want...)
	}
}

// A row that moves from one key to another in such a table runs the job, or names
// both keys: never the new one alone. Broken by: flags of the root that its
// partitions do not bear out.
func TestWALIdentityOfPartitions(t *testing.T) {
	url := storetest.Postgres(t)
	storetest.Exec(t, url, append(slices.Clone(halves), "INSERT INTO whole_root VALUES (1, 1, 10)",
		"INSERT INTO whole_leaf VALUES (1, 1, 10)")...)
	spec := walSpec(t, url)
	spec.Jobs = nil
	for _, table := range []string{"whole_root", "whole_leaf"} {
		for _, column := range []string{"id", "other"} {
			name := strings.ReplaceAll(table, "_", "-") + "-" + column
			j := feedtest.Job(t, "SELECT 1", name+":{k}")
			j.Name, j.Watch = name, []jobs.Watch{{Table: table, Key: map[string]string{"k": column}}}
			spec.Jobs = append(spec.Jobs, j)
		}
	}
	w, _ := openWAL(t, feedtest.Open(t, url), spec)
	for _, table := range []string{"whole-leaf", "whole-root"} {
		lost := table + "-other whole: a change of table " + strings.ReplaceAll(table, "-", "_") +
			" that does not carry its column other"
		for _, step := range []struct{ sql, want string }{
			{"UPDATE TABLE SET other = 20", table + "-id map[k:1]\n" + lost},
			{"UPDATE TABLE SET id = 2, other = 30", table + "-id map[k:1]\n" + table + "-id map[k:2]\n" + lost},
			{"DELETE FROM TABLE", table + "-id map[k:2]\n" + lost},
		} {
			sql := strings.ReplaceAll(step.sql, "TABLE", strings.ReplaceAll(table, "-", "_"))
			storetest.Exec(t, url, sql)
			if got, _ := next(t, w, 1); got != step.want {
				t.Errorf("%s\nhas the effect %s\nwant %s", sql, got, step.want)
			}
		}
	}
}

// Where a partition and its root are both watched, Postgres tells of the root's
// changes only: who watches the partition must see them too.
func TestWALOfPartitionAndRoot(t *testing.T) {
	url := storetest.Postgres(t)
	storetest.Exec(t, url, "CREATE TABLE sale (id int PRIMARY KEY) PARTITION BY RANGE (id)",
		"CREATE TABLE sale_a PARTITION OF sale FOR VALUES FROM (0) TO (10) PARTITION BY RANGE (id)",
		"CREATE TABLE sale_a1 PARTITION OF sale_a FOR VALUES FROM (0) TO (5)")
	spec := walSpec(t, url)
	spec.Jobs = nil
	for _, table := range []string{"sale", "sale_a", "sale_a1"} {
		j := feedtest.Job(t, "SELECT 1", strings.ReplaceAll(table, "_", "-")+":{id}")
		j.Name, j.Watch = strings.ReplaceAll(table, "_", "-"),
			[]jobs.Watch{{Table: table, Key: map[string]string{"id": "id"}}}
		spec.Jobs = append(spec.Jobs, j)
	}
	w, _ := openWAL(t, feedtest.Open(t, url), spec)
	storetest.Exec(t, url, "INSERT INTO sale VALUES (1)")
	if got, _ := next(t, w, 1); got != "sale map[id:1]\nsale-a map[id:1]\nsale-a1 map[id:1]" {
		t.Errorf("through the root: %s", got)
	}
	storetest.Exec(t, url, "DELETE FROM sale_a1")
	if got, _ := next(t, w, 1); got != "sale map[id:1]\nsale-a map[id:1]\nsale-a1 map[id:1]" {
		t.Errorf("through the partition: %s", got)
	}
}

// A table that is published already hurts the application now. What ends that depends on how it is published.
func TestCheckOfPublishedTableWithoutIdentity(t *testing.T) {
	const fails = "fail: table public.item is published and has no replica identity: the application's own UPDATE " +
		"and DELETE on it fail; "
	const remedy = "add a primary key that is not DEFERRABLE, or: ALTER TABLE public.item REPLICA IDENTITY FULL"
	for made, want := range map[string]string{
		"CREATE PUBLICATION stoker FOR TABLE item": fails + `this ends that: ALTER PUBLICATION "stoker" DROP TABLE ONLY ` +
			"public.item; to follow its changes again, " + remedy,
		"CREATE PUBLICATION stoker FOR ALL TABLES": fails + remedy,
	} {
		url := storetest.Postgres(t)
		storetest.Exec(t, url, "CREATE TABLE item (id int)", made)
		spec := feedtest.Spec(t, jobs.SourceWAL, map[string][]jobs.Watch{"a": {{Table: "item"}}})
		spec.Changes.URL = jobs.NewSecret(url)
		if got := checked(t, feedtest.Open(t, url), spec); len(got) != 1 || !strings.HasPrefix(got[0], want) {
			t.Errorf("%s: %q\nwant %q", made, got, want)
		}
	}
}
