package wal_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store/feed/feedtest"
	"github.com/stokerhq/stoker/store/feed/wal"
	"github.com/stokerhq/stoker/store/postgres"
	"github.com/stokerhq/stoker/store/storetest"
)

// losses are the ways in which a published table loses its replica identity, each with what must be run in front.
var losses = []struct{ name, table, ddl, loss string }{
	{"primary key dropped", "item", "CREATE TABLE item (id int PRIMARY KEY)",
		"ALTER TABLE item DROP CONSTRAINT item_pkey"},
	{"set to NOTHING", "item", "CREATE TABLE item (id int PRIMARY KEY)", "ALTER TABLE item REPLICA IDENTITY NOTHING"},
	{"index dropped", "item", "CREATE TABLE item (id int NOT NULL); CREATE UNIQUE INDEX by_id ON item (id); " +
		"ALTER TABLE item REPLICA IDENTITY USING INDEX by_id", "DROP INDEX by_id"},
	{"primary key made DEFERRABLE", "item", "CREATE TABLE item (id int PRIMARY KEY)",
		"ALTER TABLE item DROP CONSTRAINT item_pkey, ADD PRIMARY KEY (id) DEFERRABLE"},
	{"FULL set back", "item", "CREATE TABLE item (id int); ALTER TABLE item REPLICA IDENTITY FULL",
		"ALTER TABLE item REPLICA IDENTITY DEFAULT"},
	{"partition attached", "item_2", "CREATE TABLE item (id int) PARTITION BY RANGE (id); " +
		"CREATE TABLE item_1 PARTITION OF item FOR VALUES FROM (0) TO (10); " +
		"ALTER TABLE item_1 REPLICA IDENTITY FULL; ALTER TABLE item REPLICA IDENTITY FULL",
		"CREATE TABLE item_2 PARTITION OF item FOR VALUES FROM (10) TO (20)"},
	{"odd names", `"The Item"`, `CREATE TABLE "The Item" (id int PRIMARY KEY)`,
		`ALTER TABLE "The Item" DROP CONSTRAINT "The Item_pkey"`},
}

// Broken by: a publication that keeps a table that has lost its replica identity, so that the application's own UPDATE
// fails; and by one that loses a table besides.
func TestProtectorTakesTablesOut(t *testing.T) {
	for _, c := range losses {
		t.Run(c.name, func(t *testing.T) {
			url := storetest.Postgres(t)
			storetest.Exec(t, url, c.ddl, "CREATE TABLE other (id int PRIMARY KEY)")
			root := strings.TrimSuffix(c.table, "_2")
			spec := feedtest.Spec(t, jobs.SourceWAL, map[string][]jobs.Watch{"a:{id}": {
				{Table: root, Key: map[string]string{"id": "id"}}, {Table: "other"}}})
			spec.Changes.URL = jobs.NewSecret(url)
			s := feedtest.Open(t, url)
			openWAL(t, s, spec)
			var log bytes.Buffer
			p := newProtector(s, spec, &log)
			storetest.Exec(t, url, "INSERT INTO "+root+" VALUES (1)")
			if once(t, p); log.Len() > 0 {
				t.Fatalf("nothing is wrong yet: %s", log.String())
			}
			storetest.Exec(t, url, c.loss)
			update := "UPDATE " + c.table + " SET id = id"
			if err := tryExec(t, url, update); err == nil || !strings.Contains(err.Error(), "replica identity") {
				t.Fatalf("the test does not hurt the application: %v", err)
			}
			once(t, p)
			storetest.Exec(t, url, update, "DELETE FROM "+c.table)
			if got := published(t, url); got != "other" {
				t.Errorf("published are %q, want other alone", got)
			}
			if text := log.String(); !strings.Contains(text, "was taken out of the publication") ||
				!strings.Contains(text, "it has no replica identity") {
				t.Errorf("log: %s", text)
			}
			said := log.Len()
			if once(t, p); log.Len() != said {
				t.Errorf("said twice: %s", log.String())
			}
		})
	}
}

// Broken by: a publication of somebody else's that is altered.
func TestProtectorSaysWhatItMayNotAlter(t *testing.T) {
	for name, c := range map[string]struct{ make, role, why string }{
		"not made by Stoker": {"CREATE PUBLICATION stoker FOR TABLE item", "stoker",
			"does not have the mark of one that Stoker made"},
		"not its owner": {"", "wal_protector", "does not own the publication"},
	} {
		t.Run(name, func(t *testing.T) {
			url := storetest.Postgres(t)
			storetest.Exec(t, url, "CREATE TABLE item (id int PRIMARY KEY)")
			spec := feedtest.Spec(t, jobs.SourceWAL, feedtest.ByKey("item"))
			spec.Changes.URL = jobs.NewSecret(url)
			if c.make != "" {
				storetest.Exec(t, url, c.make)
			}
			openWAL(t, feedtest.Open(t, url), spec)
			if c.role != "stoker" {
				storetest.Exec(t, url, "CREATE ROLE "+c.role+" LOGIN PASSWORD 'x'")
				owner := url
				t.Cleanup(func() { storetest.Exec(t, owner, "DROP ROLE "+c.role) })
				url = feedtest.AsRole(t, url, c.role, "x")
			}
			storetest.Exec(t, spec.Changes.URL.Reveal(), "ALTER TABLE item DROP CONSTRAINT item_pkey")
			var log bytes.Buffer
			p := newProtector(feedtest.Open(t, url), spec, &log)
			once(t, p)
			once(t, p)
			text := log.String()
			if strings.Count(text, "every UPDATE and DELETE of the application on a published table fails") != 1 ||
				!strings.Contains(text, `ALTER PUBLICATION \"stoker\" DROP TABLE ONLY public.item`) ||
				!strings.Contains(text, c.why) {
				t.Errorf("log: %s", text)
			}
			if got := published(t, spec.Changes.URL.Reveal()); got != "item" {
				t.Errorf("published are %q", got)
			}
			// what the log says mends it
			storetest.Exec(t, spec.Changes.URL.Reveal(), `ALTER PUBLICATION "stoker" DROP TABLE ONLY public.item`,
				"UPDATE item SET id = id")
		})
	}
}

// A table that is locked, by a migration that goes on or a concurrent index, is taken out later.
func TestProtectorWaitsForNoLock(t *testing.T) {
	url := storetest.Postgres(t)
	storetest.Exec(t, url, "CREATE TABLE item (id int PRIMARY KEY)")
	spec := feedtest.Spec(t, jobs.SourceWAL, feedtest.ByKey("item"))
	spec.Changes.URL = jobs.NewSecret(url)
	s := feedtest.Open(t, url)
	openWAL(t, s, spec)
	storetest.Exec(t, url, "ALTER TABLE item DROP CONSTRAINT item_pkey")
	conn, err := pgx.Connect(t.Context(), url)
	if err == nil {
		_, err = conn.Exec(t.Context(), "BEGIN; LOCK TABLE item IN SHARE UPDATE EXCLUSIVE MODE")
	}
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	p := newProtector(s, spec, &log)
	if once(t, p); !strings.Contains(log.String(), "lock timeout") {
		t.Errorf("log: %s", log.String())
	}
	if err := conn.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	feedtest.Eventually(t, "the table is taken out", func() bool { once(t, p); return published(t, url) == "" })
}

func newProtector(s *postgres.Source, spec *jobs.Spec, log *bytes.Buffer) *wal.Protector {
	return wal.NewProtector(wal.ProtectorConfig{Source: s, Spec: spec, Log: slog.New(slog.NewTextHandler(log, nil))})
}

func once(t *testing.T, p *wal.Protector) {
	t.Helper()
	if err := p.Once(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// published are the tables of the publication stoker.
func published(t *testing.T, url string) string {
	t.Helper()
	return query(t, url, "SELECT coalesce(string_agg(prrelid::regclass::text, ' ' ORDER BY 1), '') FROM "+
		"pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid WHERE pubname = 'stoker'")
}

// query is the one value of a query.
func query(t *testing.T, url, sql string) (value string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if err := conn.QueryRow(t.Context(), sql).Scan(&value); err != nil {
		t.Fatal(err)
	}
	return value
}

func tryExec(t *testing.T, url, sql string) error {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	_, err = conn.Exec(t.Context(), sql)
	return err
}
