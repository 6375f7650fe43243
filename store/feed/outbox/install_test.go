package outbox_test

import (
	"context"
	"strings"
	"testing"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store/feed/feedtest"
	"github.com/stokerhq/stoker/store/feed/outbox"
	"github.com/stokerhq/stoker/store/storetest"
)

// everything lists what a database has of ours.
const everything = `SELECT (SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'stoker%') + (SELECT count(*) FROM pg_proc WHERE proname LIKE 'stoker%')
	+ (SELECT count(*) FROM pg_class WHERE relname LIKE 'stoker%')`

// Installing again changes nothing; after the spec has changed, it follows; and
// what is removed leaves nothing.
func TestOutboxInstallAndRemove(t *testing.T) {
	r := newShopOutbox(t)
	first := r.start.Place
	again := r.install()
	if text := again.String(); strings.Contains(text, "TRIGGER") {
		t.Errorf("installing again touches triggers:\n%s", text)
	}
	if r.open(); r.start.Place != first {
		t.Errorf("installing again made the place %s of %s", r.start.Place, first)
	}

	job, _ := r.spec.Job("menu")
	job.Watch[0] = jobs.Watch{Table: "category", Column: "name", Keys: "SELECT"}
	_, _, err := outbox.Open(t.Context(), outbox.Config{Source: r.source, Spec: r.spec})
	if err == nil || err.Error() != "the outbox does not record column name of table public.category; run: stoker "+
		"outbox install --apply" {
		t.Errorf("a column that is not recorded: %v", err)
	}
	r.install()
	if r.open(); r.start.Place == first {
		t.Error("another column is at the same place")
	}

	r.exec("ALTER TABLE product DISABLE TRIGGER USER")
	if _, _, err = outbox.Open(t.Context(), outbox.Config{Source: r.source, Spec: r.spec}); err == nil ||
		!strings.Contains(err.Error(), "the triggers of table public.product for insert, update, delete, truncate "+
			"are disabled") {
		t.Errorf("disabled triggers: %v", err)
	}
	second := r.start.Place
	r.install()
	if r.open(); r.start.Place == second {
		t.Error("triggers that were disabled for a while are at the same place")
	}

	job.Watch = nil
	r.install()
	if n := r.count("SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'stoker%' AND tgrelid = " +
		"'category'::regclass"); n != 0 {
		t.Errorf("a table that is not watched any more has %d triggers", n)
	}
	script, err := outbox.Remove(t.Context(), r.source)
	if err == nil {
		err = outbox.Apply(t.Context(), r.source, script)
	}
	if err != nil {
		t.Fatal(err)
	}
	if n := r.count(everything); n != 0 {
		t.Errorf("removing left %d objects", n)
	}
	if script, err = outbox.Remove(t.Context(), r.source); err != nil || script != nil {
		t.Errorf("removing again: %v, %v", script, err)
	}
	r.exec("INSERT INTO product VALUES (9001, 'x', 1)")
	if _, err := r.feed.Next(t.Context()); err == nil ||
		!strings.Contains(err.Error(), "run: stoker outbox install --apply") {
		t.Errorf("the feed of an outbox that was removed: %v", err)
	}
}

// A statement on a partition, or on a table that inherits, fires the triggers of
// that table only: it has its own.
func TestOutboxOfPartitions(t *testing.T) {
	server := storetest.OwnPostgres(t, "max_prepared_transactions = 2")
	r := newOutboxAt(t, server.URL("postgres"), map[string][]jobs.Watch{"sale:{id}": {{Table: "sale",
		Key: map[string]string{"id": "id"}}}, "old:{id}": {{Table: "base", Key: map[string]string{"id": "id"}}}},
		"CREATE TABLE sale (at int, id int) PARTITION BY RANGE (at)",
		"CREATE TABLE sale_a PARTITION OF sale FOR VALUES FROM (0) TO (10) PARTITION BY RANGE (at)",
		"CREATE TABLE sale_a1 (id int, gone int, at int)", "ALTER TABLE sale_a1 DROP gone",
		"ALTER TABLE sale_a ATTACH PARTITION sale_a1 FOR VALUES FROM (0) TO (5)",
		"CREATE TABLE sale_b PARTITION OF sale FOR VALUES FROM (10) TO (20)",
		"CREATE TABLE base (id int)", "CREATE TABLE heir (more int) INHERITS (base)")
	for sql, want := range map[string][]string{
		"INSERT INTO sale VALUES (1, 100), (11, 101)":  {"sale map[id:100]", "sale map[id:101]"},
		"INSERT INTO sale_a VALUES (2, 102)":           {"sale map[id:102]"},
		"INSERT INTO sale_a1 (at, id) VALUES (3, 103)": {"sale map[id:103]"},
		"TRUNCATE sale_b":                              {"sale whole: TRUNCATE of table sale"},
		"INSERT INTO heir VALUES (1, 1)":               {"old map[id:1]"},
		"BEGIN; INSERT INTO sale VALUES (1, 104); PREPARE TRANSACTION 'p'; COMMIT PREPARED 'p'":   {"sale map[id:104]"},
		"BEGIN; INSERT INTO sale VALUES (1, 105); PREPARE TRANSACTION 'p'; ROLLBACK PREPARED 'p'": nil,
		"INSERT INTO sale VALUES (4, 106); UPDATE sale SET at = 12, id = 107 WHERE id = 106": {"sale map[id:106]",
			"sale map[id:107]"},
		"INSERT INTO heir VALUES (2, 1); UPDATE base SET id = 3 WHERE id = 2; DELETE FROM ONLY base": {"old map[id:2]",
			"old map[id:3]"},
	} {
		conn := r.conn()
		for _, s := range strings.Split(sql, "; ") {
			if _, err := conn.Exec(t.Context(), s); err != nil {
				t.Fatalf("%s: %v", s, err)
			}
		}
		r.want(sql, want...)
	}
}

// The owner of the tables installs; who is not is told to ask.
func TestOutboxInstallNeedsTheOwner(t *testing.T) {
	r := newShopOutbox(t)
	r.exec("CREATE ROLE outbox_reader LOGIN PASSWORD 'reader'", "GRANT CREATE ON SCHEMA public TO outbox_reader",
		"DROP TABLE stoker_outbox CASCADE")
	t.Cleanup(func() { storetest.Exec(t, r.url, "DROP OWNED BY outbox_reader", "DROP ROLE outbox_reader") })
	reader := feedtest.Open(t, feedtest.AsRole(t, r.url, "outbox_reader", "reader"))
	script, err := outbox.Install(t.Context(), reader, r.spec)
	if err != nil {
		t.Fatal(err)
	}
	err = outbox.Apply(t.Context(), reader, script)
	if err == nil || !strings.Contains(err.Error(), "must be owner") ||
		!strings.Contains(err.Error(), "have the owner of the tables run what the command prints without --apply") {
		t.Errorf("installing as a reader: %v", err)
	}
	if n := r.count("SELECT count(*) FROM pg_class WHERE relname = 'stoker_outbox'"); n != 0 {
		t.Error("a script that failed left something")
	}
	r.exec(script.String()) // as the owner would, from what was printed
	feed, _, err := outbox.Open(t.Context(), outbox.Config{Source: reader, Spec: r.spec})
	if err != nil {
		t.Fatal(err)
	}
	defer feed.Close()
	r.exec("UPDATE product SET name = 'x' WHERE id = 1")
	commits, err := feed.Next(t.Context())
	if err != nil || len(commits) != 1 {
		t.Fatalf("%v, %v", commits, err)
	}
	if err := feed.Done(t.Context(), commits[0].Position); err != nil {
		t.Error(err)
	}

	r.exec("DROP TRIGGER " + "\"" + r.triggerName("category", "insert") + "\" ON category")
	holder := r.conn()
	if _, err := holder.Exec(t.Context(), "BEGIN; LOCK TABLE category IN ROW EXCLUSIVE MODE"); err != nil {
		t.Fatal(err)
	}
	if script, err = outbox.Install(t.Context(), r.source, r.spec); err == nil {
		err = outbox.Apply(t.Context(), r.source, script)
	}
	if err == nil || !strings.Contains(err.Error(), "run it again") {
		t.Errorf("while the table is written to: %v", err)
	}
}

func (r *outboxRig) triggerName(table, event string) (name string) {
	r.t.Helper()
	row := r.conn().QueryRow(context.Background(),
		"SELECT tgname FROM pg_trigger WHERE tgrelid = $1::text::regclass AND tgname LIKE '%' || $2", table, event)
	if err := row.Scan(&name); err != nil {
		r.t.Fatal(err)
	}
	return name
}
