package wal_test

import (
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store/feed"
	"github.com/stokerhq/stoker/store/feed/feedtest"
	"github.com/stokerhq/stoker/store/feed/wal"
	"github.com/stokerhq/stoker/store/postgres"
	"github.com/stokerhq/stoker/store/storetest"
	"github.com/stokerhq/stoker/store/testserver"
)

// followingWAL watches product by its primary key.
func followingWAL(t *testing.T, url string) *jobs.Spec {
	t.Helper()
	spec := feedtest.Spec(t, jobs.SourceWAL, feedtest.ByKey("product"))
	spec.Changes.URL = jobs.NewSecret(url)
	return spec
}

// A publication that is there must have it all; one that is not must be ours to
// make.
func TestCheckPublication(t *testing.T) {
	url := storetest.Postgres(t)
	storetest.Exec(t, url, feedtest.Shop, "CREATE ROLE wal_checker LOGIN REPLICATION PASSWORD 'checker'")
	t.Cleanup(func() { storetest.Exec(t, url, "DROP OWNED BY wal_checker", "DROP ROLE wal_checker") })
	s, spec := feedtest.Open(t, url), followingWAL(t, url)
	generated := ""
	if query(t, url, "SELECT current_setting('server_version_num')") >= "180000" {
		generated = ", publish_generated_columns = stored"
	}
	create := `CREATE PUBLICATION "stoker" FOR TABLE public.product WITH (publish_via_partition_root = true` + generated +
		`); COMMENT ON PUBLICATION "stoker" IS 'Made by Stoker, for changes.source: wal; to remove it: stoker changes remove'`
	const add = `ALTER PUBLICATION "stoker" ADD TABLE public.product`
	const set = `ALTER PUBLICATION "stoker" SET TABLE public.product`
	feedtest.WantProblems(t, "none, and ours to make", checked(t, s, spec))
	checker := feedtest.Open(t, feedtest.AsRole(t, url, "wal_checker", "checker"))
	feedtest.WantProblems(t, "not the owner", checked(t, checker, spec),
		"fail: there is no publication stoker, and role wal_checker, which does not own public.product, may not "+
			"create it; have the owner of the tables run: "+create)
	storetest.Exec(t, url, "ALTER TABLE product OWNER TO wal_checker")
	feedtest.WantProblems(t, "no right in the database", checked(t, checker, spec),
		"fail: there is no publication stoker, and role wal_checker has no right to CREATE in the database; grant "+
			"it, or have somebody who may run: "+create)
	storetest.Exec(t, url, "ALTER TABLE product OWNER TO stoker", create)
	feedtest.WantProblems(t, "made by the owner", checked(t, checker, spec))
	var filters bool
	if err := unwaiting(t, url).QueryRow(t.Context(),
		"SELECT current_setting('server_version_num')::int >= 150000").Scan(&filters); err != nil {
		t.Fatal(err)
	}
	storetest.Exec(t, url, "ALTER TABLE category ADD PRIMARY KEY (id)")
	for _, c := range []struct{ sql, want string }{
		{"ALTER PUBLICATION stoker SET TABLE category",
			"fail: publication stoker does not have every watched table, and role wal_checker may not add them; " +
				"have the owner of the tables run: " + add},
		{"ALTER PUBLICATION stoker SET TABLE product WHERE (id > 5)",
			"fail: publication stoker has a row filter or a column list for product, so that changes would be " +
				"missed: " + set},
		{"ALTER PUBLICATION stoker SET TABLE product (id)",
			"fail: publication stoker has a row filter or a column list for product, so that changes would be " +
				"missed: " + set},
		{"ALTER PUBLICATION stoker SET TABLE product; ALTER PUBLICATION stoker SET (publish = 'insert, update')",
			`fail: publication stoker does not publish delete, truncate: ALTER PUBLICATION "stoker" SET (publish = 'insert, update, delete, truncate')`},
	} {
		if strings.Contains(c.want, "row filter") && !filters {
			continue // Postgres 14 has none
		}
		storetest.Exec(t, url, c.sql)
		want := []string{c.want}
		if strings.Contains(c.sql, "category") {
			want = append(want, "warn: publication stoker has public.category, which no job watches: stoker changes "+
				"install --apply takes it out")
		}
		feedtest.WantProblems(t, c.sql, checked(t, checker, spec), want...)
	}
	storetest.Exec(t, url, "CREATE TABLE sale (id int PRIMARY KEY) PARTITION BY RANGE (id)", "DROP PUBLICATION stoker",
		"CREATE PUBLICATION stoker FOR ALL TABLES")
	feedtest.WantProblems(t, "all tables", checked(t, checker, spec))
	feedtest.WantProblems(t, "of partitions", checked(t, s,
		func() *jobs.Spec { p := followingWAL(t, url); p.Jobs[0].Watch[0].Table = "sale"; return p }()),
		`fail: publication stoker names partitions, not the partitioned tables that are watched: ALTER PUBLICATION "stoker" SET (publish_via_partition_root = true)`)
}

// Settings and rights that replication needs.
func TestCheckServer(t *testing.T) {
	server := storetest.OwnPostgres(t, "wal_level = replica", "max_replication_slots = 0", "max_wal_senders = 0")
	url := server.URL("postgres")
	storetest.Exec(t, url, feedtest.Shop, "CREATE ROLE plain LOGIN PASSWORD 'plain'", "CREATE ROLE rds_replication")
	s := feedtest.Open(t, url)
	spec := followingWAL(t, feedtest.AsRole(t, url, "plain", "plain"))
	feedtest.WantProblems(t, "nothing is set", checked(t, s, spec),
		"fail: wal_level is replica: ALTER SYSTEM SET wal_level = logical and restart Postgres (RDS and Aurora: "+
			"rds.logical_replication = 1 in the parameter group, and reboot; "+
			"Cloud SQL: cloudsql.logical_decoding = on; Azure: wal_level in the server parameters), or use "+
			"changes.source: outbox",
		"fail: role plain may not replicate: GRANT rds_replication TO plain, or use changes.source: outbox",
		"fail: max_replication_slots is 0 and 0 are in use: raise it and restart Postgres, or end who uses one",
		"fail: max_wal_senders is 0 and 0 are in use: raise it and restart Postgres, or end who uses one")
	storetest.Exec(t, url, "DROP ROLE rds_replication", "ALTER SYSTEM SET wal_level = logical",
		"ALTER SYSTEM SET max_replication_slots = 2", "ALTER SYSTEM SET max_wal_senders = 2")
	server.Stop()
	if err := server.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	s = feedtest.Open(t, url) // the connections of the other one ended with the server
	feedtest.WantProblems(t, "no right", checked(t, s, spec),
		"fail: role plain may not replicate: ALTER ROLE plain REPLICATION, or use changes.source: outbox")
	storetest.Exec(t, url, "ALTER ROLE plain REPLICATION", "SELECT pg_create_physical_replication_slot('x')")
	feedtest.WantProblems(t, "all is set", checked(t, s, spec))
	storetest.Exec(t, url, "SELECT pg_create_physical_replication_slot('y')")
	feedtest.WantProblems(t, "all slots are taken", checked(t, s, spec),
		"fail: max_replication_slots is 2 and 2 are in use: raise it and restart Postgres, or end who uses one")
}

// A function that only the identity of the server is read with may be refused. Broken by: a
// check that fails, or that says nothing.
func TestCheckOnAHardenedServer(t *testing.T) {
	server := storetest.OwnPostgres(t)
	url := server.URL("postgres")
	storetest.Exec(t, url, feedtest.Shop, "CREATE ROLE plain LOGIN PASSWORD 'secret' REPLICATION",
		"GRANT ALL ON SCHEMA public TO plain", "GRANT ALL ON DATABASE postgres TO plain",
		"ALTER TABLE product OWNER TO plain", "ALTER TABLE price OWNER TO plain", "ALTER TABLE category OWNER TO plain",
		"REVOKE EXECUTE ON FUNCTION pg_control_system(), pg_current_wal_lsn() FROM PUBLIC")
	s := feedtest.Open(t, feedtest.AsRole(t, url, "plain", "secret"))
	const unseen = "warn: it cannot be seen that changes.url and postgres.url lead to one server, because " +
		"pg_control_system cannot be called: GRANT EXECUTE ON FUNCTION pg_control_system() TO plain, or make sure " +
		"of it yourself"
	spec := followingWAL(t, url)
	spec.Jobs = feedtest.Spec(t, jobs.SourceWAL, feedtest.ByKey("product")).Jobs
	feedtest.WantProblems(t, "two URLs", checked(t, s, spec), unseen)
	spec.Postgres.URL = spec.Changes.URL
	feedtest.WantProblems(t, "one URL", checked(t, s, spec))
	spec.Changes.Slot = jobs.SlotPermanent
	_, err := wal.ReadSlot(t.Context(), s, "stoker")
	if err == nil || !strings.Contains(err.Error(), "GRANT EXECUTE ON FUNCTION pg_current_wal_lsn") {
		t.Errorf("a permanent slot: %v", err)
	}
}

// changes.url must lead to the same database, and not through a pooler.
func TestCheckWhereChangesURLLeads(t *testing.T) {
	server, other := storetest.OwnPostgres(t), storetest.OwnPostgres(t)
	url := server.URL("postgres")
	storetest.Exec(t, url, feedtest.Shop)
	s := feedtest.Open(t, url)
	feedtest.WantProblems(t, "another server", checked(t, s, followingWAL(t, other.URL("postgres"))),
		"fail: changes.url leads to another server than postgres.url: what it tells of is not what the queries "+
			"read; let both name one server")
	feedtest.WantProblems(t, "another database", checked(t, s, followingWAL(t, server.URL("template1"))),
		"fail: changes.url leads to database template1, postgres.url to postgres: let both name one")
	for name, pooler := range map[string]*testserver.PgBouncer{"as it is": feedtest.Pooled(t, server),
		"that ignores what we ask for": feedtest.Pooled(t, server,
			"ignore_startup_parameters = replication, extra_float_digits")} {
		spec := followingWAL(t, pooler.URL("postgres"))
		got := checked(t, s, spec)
		if len(got) == 0 {
			followsThrough(t, s, spec, url) // PgBouncer passes replication connections on from 1.23
		} else if len(got) != 1 || !strings.HasPrefix(got[0],
			"fail: changes.url takes no replication connections, as a pooler like PgBouncer does: set changes.url "+
				"to a direct connection (") {
			t.Errorf("through a pooler %s: %q", name, got)
		}
	}
	got := checked(t, s, followingWAL(t, feedtest.AsRole(t, url, "stoker", "wrong-password")))
	if len(got) != 1 || !strings.HasPrefix(got[0], "fail: changes.url postgres://") ||
		strings.Contains(got[0], "wrong-password") {
		t.Errorf("a wrong password: %q", got)
	}
}

// followsThrough: where check finds nothing wrong, changes arrive.
func followsThrough(t *testing.T, s *postgres.Source, spec *jobs.Spec, url string) {
	t.Helper()
	w, _ := openWAL(t, s, spec)
	storetest.Exec(t, url, "UPDATE product SET name = 'x' WHERE id = 7")
	if got, _ := next(t, w, 1); got != "a map[id:7]" {
		t.Errorf("through a pooler: %s", got)
	}
}

func TestCheckPermanentSlot(t *testing.T) {
	server := storetest.OwnPostgres(t)
	url := server.URL("postgres")
	storetest.Exec(t, url, feedtest.Shop)
	s, spec := feedtest.Open(t, url), followingWAL(t, url)
	spec.Changes.Slot = jobs.SlotPermanent
	feedtest.WantProblems(t, "no limit", checked(t, s, spec),
		"fail: max_slot_wal_keep_size is not set on the server: a permanent slot would keep WAL without limit "+
			"while Stoker is away, until the disk is full; "+
			"set it (ALTER SYSTEM SET max_slot_wal_keep_size = '10GB'), write changes.slot: temporary, or "+
			"changes.unbounded_wal: true")
	spec.Changes.UnboundedWAL = true
	feedtest.WantProblems(t, "no limit, as wished", checked(t, s, spec))
	storetest.Exec(t, url, "ALTER SYSTEM SET max_slot_wal_keep_size = '1MB'", "SELECT pg_reload_conf()",
		"SELECT pg_create_logical_replication_slot('stoker', 'test_decoding')")
	spec.Changes.UnboundedWAL = false
	feedtest.WantProblems(t, "another's slot", checked(t, s, spec),
		`fail: slot stoker is there already for another use (database "postgres", plugin "test_decoding"): write another changes.name, or drop it`)
	storetest.Exec(t, url, "SELECT pg_drop_replication_slot('stoker')",
		"SELECT pg_create_logical_replication_slot('stoker', 'pgoutput')")
	feedtest.WantProblems(t, "a slot", checked(t, s, spec))
	for range 3 {
		storetest.Exec(t, url, "SELECT pg_logical_emit_message(false, 'x', repeat('x', 1000000)), pg_switch_wal()",
			"CHECKPOINT")
	}
	feedtest.WantProblems(t, "a lost slot", checked(t, s, spec),
		"warn: slot stoker is lost: it fell behind by more than max_slot_wal_keep_size; Stoker makes it anew and "+
			"runs the watched jobs; raise that setting if it comes again")
}

// A connection that breaks off says nothing of how it is set up: a daemon that
// starts in that moment must not take it for a reason to end.
func TestCheckPassesBrokenConnections(t *testing.T) {
	url := storetest.Postgres(t)
	storetest.Exec(t, url, walSQL...)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	})
	defer wg.Wait()
	defer l.Close()
	spec := walSpec(t, url)
	for name, broken := range map[string]string{"closed": l.Addr().String(), "refused": "127.0.0.1:1"} {
		spec.Changes.URL = jobs.NewSecret("postgres://stoker@" + broken + "/postgres?sslmode=disable")
		if problems, err := feed.Check(t.Context(), feedtest.Open(t, url), spec, wal.Check); err == nil {
			t.Errorf("%s: %+v, and no error", name, problems)
		}
	}
}

// What would make the application's own statements fail, or lose changes, is told
// before a publication is made.
func TestCheckReplicaIdentity(t *testing.T) {
	url := storetest.Postgres(t)
	storetest.Exec(t, url, feedtest.Shop, "CREATE TABLE sale (at int, id int) PARTITION BY RANGE (at)",
		"CREATE TABLE sale_a PARTITION OF sale FOR VALUES FROM (0) TO (10)")
	s := feedtest.Open(t, url)
	const remedy = " has no replica identity: once it is published, the application's own UPDATE and DELETE on it " +
		"would fail; add a primary key that is not DEFERRABLE, or: ALTER TABLE "
	const or = " REPLICA IDENTITY FULL (or USING INDEX, a unique one on columns that are NOT NULL)"
	for _, c := range []struct {
		watches map[string][]jobs.Watch
		want    []string
	}{
		{map[string][]jobs.Watch{"a": {{Table: "category"}}, "b": {{Table: "category"}}},
			[]string{"fail: table public.category" + remedy + "public.category" + or}},
		{feedtest.ByKey("sale"), []string{"fail: table public.sale_a" + remedy + "public.sale_a" + or,
			noKey("sale"),
			"fail a: updates and deletes of table public.sale do not carry the old value of id, which is not in " +
				"its replica identity (none): " +
				"ALTER TABLE public.sale REPLICA IDENTITY FULL (or USING INDEX, a unique one that has the column), " +
				"or watch the table without key and column"}},
		{feedtest.ByKey("product"), nil},
		{feedtest.ByQuery("SELECT id FROM product WHERE supplier_id = ANY($1)"),
			[]string{"fail a: updates and deletes of table public.product do not carry the old value of " +
				"supplier_id, which is not in its replica identity (id): " +
				"ALTER TABLE public.product REPLICA IDENTITY FULL (or USING INDEX, a unique one that has the " +
				"column), or watch the table without key and column"}},
	} {
		spec := feedtest.Spec(t, jobs.SourceWAL, c.watches)
		spec.Changes.URL = jobs.NewSecret(url)
		feedtest.WantProblems(t, "replica identity", checked(t, s, spec), c.want...)
	}
}

func checked(t *testing.T, s *postgres.Source, spec *jobs.Spec) []string {
	t.Helper()
	return feedtest.Checked(t, s, spec, wal.Check)
}

// noKey is the warning of a partitioned table without a primary key.
func noKey(table string) string {
	return "warn: partitioned table public." + table + " has no primary key: a partition that is added later has no " +
		"replica identity, so that the application's own UPDATE and DELETE on it fail until the table is taken out " +
		"of the publication; add a primary key that is not DEFERRABLE, or give each partition its replica identity " +
		"in the transaction that adds it"
}
