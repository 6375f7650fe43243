package feed_test

import (
	"strings"
	"testing"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store/feed"
	"github.com/stokerhq/stoker/store/feed/feedtest"
	"github.com/stokerhq/stoker/store/feed/outbox"
	"github.com/stokerhq/stoker/store/feed/wal"
	"github.com/stokerhq/stoker/store/storetest"
)

// Names with capitals: the message says how to write them, and what it says is taken.
func TestNamesWithCapitals(t *testing.T) {
	url := storetest.Postgres(t)
	storetest.Exec(t, url, `CREATE TABLE "Orders" ("Id" int PRIMARY KEY, "customerId" int)`, `CREATE SCHEMA "Shop"`,
		`CREATE TABLE "Shop"."LineItem" (id int PRIMARY KEY)`, "CREATE SCHEMA depot",
		"CREATE TABLE depot.shelf (id int PRIMARY KEY)", `CREATE TABLE "It's" (id int PRIMARY KEY)`)
	s := feedtest.Open(t, url)
	for given, want := range map[string]struct{ there, write string }{
		"Orders":        {`"Orders"`, `'"Orders"'`},
		"orders":        {`"Orders"`, `'"Orders"'`},
		"public.Orders": {`"Orders"`, `'"Orders"'`},
		"Shop.LineItem": {`"Shop"."LineItem"`, `'"Shop"."LineItem"'`},
		"LineItem":      {`"Shop"."LineItem"`, `'"Shop"."LineItem"'`},
		"shelf":         {"depot.shelf", "depot.shelf"},
		`depot."Shelf"`: {"depot.shelf", "depot.shelf"},
		`"it's"`:        {`"It's"`, `'"It''s"'`},
	} {
		got := feedtest.Checked(t, s, feedtest.Spec(t, jobs.SourceOutbox, feedtest.ByKey(given)), outbox.Check)
		if text := "fail a: the watched table " + given + " does not exist; there is " + want.there +
			": write it so, table: " + want.write; got[0] != text {
			t.Errorf("%s: %q\nwant %q", given, got[0], text)
		}
		if tables, err := feed.Tables(t.Context(), s, []string{want.there}); err != nil || tables[0].OID == 0 {
			t.Errorf("%s is not found: %+v, %v", want.there, tables, err)
		}
	}
	for name, c := range map[string]struct {
		watch jobs.Watch
		want  string
	}{
		"key": {jobs.Watch{Table: `"Orders"`, Key: map[string]string{"id": "id"}}, `fail a: table public."Orders" has ` +
			"no column id, which its watch entry names; it has: Id, customerId; upper and lower case count: " +
			"write it so: Id"},
		"column": {jobs.Watch{Table: `"Orders"`, Column: "customerid", Keys: "SELECT 1 AS id WHERE 1 = ANY($1)"},
			"write it so: customerId"},
		"keys query": {jobs.Watch{Table: `"Orders"`, Column: "customerId",
			Keys: `SELECT "Id" AS "ID" FROM "Orders" WHERE "customerId" = ANY($1)`},
			"does not return the key's column id: give one that name with AS; upper and lower case count: write it " +
				`so: AS "id"`},
	} {
		spec := feedtest.Spec(t, jobs.SourceOutbox, map[string][]jobs.Watch{"a:{id}": {c.watch}})
		got := feedtest.Checked(t, s, spec, outbox.Check)
		if len(got) == 0 || !strings.Contains(strings.Join(got, "\n"), c.want) {
			t.Errorf("%s: %q\nwant %q", name, got, c.want)
		}
	}
}

// Broken by: a name that Postgres refuses, and that ends the check, or the feed, of all other jobs.
func TestRefusedNameIsOneProblem(t *testing.T) {
	url := storetest.Postgres(t)
	storetest.Exec(t, url, feedtest.Shop, "CREATE SCHEMA secret", "CREATE TABLE secret.plan (id int PRIMARY KEY)",
		"CREATE ROLE namer LOGIN REPLICATION PASSWORD 'x'", "GRANT SELECT ON ALL TABLES IN SCHEMA public TO namer")
	t.Cleanup(func() { storetest.Exec(t, url, "DROP OWNED BY namer", "DROP ROLE namer") })
	s := feedtest.Open(t, feedtest.AsRole(t, url, "namer", "x"))
	for given, fault := range map[string]string{
		"a.b.c.d":                "improper relation name (too many dotted names): a.b.c.d",
		"elsewhere.public.thing": "cross-database references are not implemented",
		"a..b":                   "invalid name syntax",
		`"open`:                  "invalid name syntax",
		"two words":              "invalid name syntax",
		"secret.plan":            "permission denied for schema secret (grant its USAGE to Stoker's role)",
	} {
		spec := feedtest.Spec(t, jobs.SourceWAL, map[string][]jobs.Watch{
			"a:{id}": {{Table: given, Key: map[string]string{"id": "id"}}},
			"b:{id}": {{Table: "product", Key: map[string]string{"id": "id"}}}})
		spec.Changes.URL = jobs.NewSecret(url)
		problems, err := feed.Check(t.Context(), s, spec, wal.Check)
		if err != nil {
			t.Errorf("%s ends the check: %v", given, err)
			continue
		}
		if p := problems[0]; p.Job != "a" || len(p.Without) != 1 || !strings.Contains(p.Message, fault) ||
			!strings.HasPrefix(p.Message, "the watched table "+given+" cannot be looked up: ") {
			t.Errorf("%s: %+v", given, p)
		}
		for _, p := range problems[1:] { // that of the publication, which is not namer's to make
			if p.Job == "a" {
				t.Errorf("%s: another problem of the job: %+v", given, p)
			}
		}
		tables, err := feed.Tables(t.Context(), s, []string{"product", given, "price"})
		if err != nil || len(tables) != 3 || tables[0].Name != "public.product" || tables[1].OID != 0 ||
			tables[2].Name != "public.price" {
			t.Errorf("%s: %+v, %v", given, tables, err)
		}
		if _, err := feed.WatchedTables(t.Context(), s, spec); err == nil || !strings.Contains(err.Error(), fault) {
			t.Errorf("%s: %v", given, err)
		}
	}
}
