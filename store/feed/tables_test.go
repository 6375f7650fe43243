package feed_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/stokerhq/stoker/store/feed"
	"github.com/stokerhq/stoker/store/feed/feedtest"
	"github.com/stokerhq/stoker/store/storetest"
)

func TestTables(t *testing.T) {
	url := storetest.Postgres(t)
	storetest.Exec(t, url,
		"CREATE SCHEMA shop",
		"CREATE TABLE plain (id int PRIMARY KEY, gone int, name text)", "ALTER TABLE plain DROP COLUMN gone",
		"CREATE UNLOGGED TABLE bare (id int)",
		`CREATE TABLE shop."Price List" (id int NOT NULL, product int, at int, UNIQUE (id))`,
		`ALTER TABLE shop."Price List" REPLICA IDENTITY USING INDEX "Price List_id_key"`,
		"CREATE TABLE parted (id int, at int, PRIMARY KEY (id, at)) PARTITION BY RANGE (at)",
		"CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (0) TO (9) PARTITION BY RANGE (at)",
		"CREATE TABLE parted_1_1 PARTITION OF parted_1 FOR VALUES FROM (0) TO (5)",
		"CREATE TABLE heir (extra int) INHERITS (plain)", "ALTER TABLE heir REPLICA IDENTITY FULL",
		"CREATE TABLE late (id int PRIMARY KEY DEFERRABLE) PARTITION BY RANGE (id)",
		"ALTER TABLE late REPLICA IDENTITY FULL",
		"CREATE TABLE late_1 PARTITION OF late FOR VALUES FROM (0) TO (9)",
		"CREATE TABLE made (id int PRIMARY KEY, g int GENERATED ALWAYS AS (id) STORED)",
		"CREATE VIEW seen AS SELECT 1 AS one")
	got, err := feed.Tables(t.Context(), feedtest.Open(t, url),
		[]string{"plain", "nosuch", "bare", `shop."Price List"`, "parted", "late", "seen", "made", "plain"})
	if err != nil {
		t.Fatal(err)
	}
	part := func(name, persistence string, identity ...string) feed.Relation {
		return feed.Relation{Name: "public." + name, Persistence: persistence, Identity: identity}
	}
	plain := feed.Table{Given: "plain", Name: "public.plain", Kind: "r", Owned: true, Columns: []string{"id", "name"},
		Identity: []string{"id"},
		Parts:    []feed.Relation{part("plain", "p", "id"), part("heir", "p", "id", "name", "extra")}}
	want := []feed.Table{
		plain,
		{Given: "nosuch"},
		{Given: "bare", Name: "public.bare", Kind: "r", Owned: true, Columns: []string{"id"},
			Parts: []feed.Relation{part("bare", "u")}},
		{Given: `shop."Price List"`, Name: `shop."Price List"`, Kind: "r", Owned: true,
			Columns: []string{"id", "product", "at"}, Identity: []string{"id"},
			Parts: []feed.Relation{{Name: `shop."Price List"`, Persistence: "p", Identity: []string{"id"}}}},
		{Given: "parted", Name: "public.parted", Kind: "p", Owned: true, Columns: []string{"id", "at"},
			Identity: []string{"id", "at"}, Parts: []feed.Relation{part("parted_1_1", "p", "id", "at")}},
		{Given: "late", Name: "public.late", Kind: "p", Owned: true, Columns: []string{"id"}, Identity: []string{"id"},
			Parts: []feed.Relation{part("late_1", "p")}},
		{Given: "seen", Name: "public.seen", Kind: "v", Owned: true, Columns: []string{"one"},
			Parts: []feed.Relation{part("seen", "p")}},
		{Given: "made", Name: "public.made", Kind: "r", Owned: true, Columns: []string{"id", "g"},
			Identity: []string{"id"}, Stored: []string{"g"}, Parts: []feed.Relation{
				{Name: "public.made", Persistence: "p", Identity: []string{"id"}, Stored: []string{"g"}}}},
		plain,
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(feed.Table{}, "OID", "Keyed"),
		cmpopts.IgnoreFields(feed.Relation{}, "OID")); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	for _, table := range got {
		if (table.OID == 0) != (table.Name == "") {
			t.Errorf("OID of %+v", table)
		}
		if keyed := []string{"plain", "parted", "made"}; table.Keyed != slices.Contains(keyed, table.Given) {
			t.Errorf("%s has a primary key: %v", table.Given, table.Keyed)
		}
	}
}
