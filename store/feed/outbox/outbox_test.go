package outbox_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store/feed/feedtest"
	"github.com/stokerhq/stoker/store/storetest"
)

// What any statement has changed is yielded, with the keys before and after; what
// was rolled back is not.
func TestOutboxYieldsWhatChanged(t *testing.T) {
	r := newShopOutbox(t)
	for _, c := range []struct {
		sql  string
		want []string
	}{
		{"INSERT INTO product VALUES (2001, 'new', 7), (2002, 'new', 7)",
			[]string{"product map[id:2001]", "product map[id:2002]", "supplier by 7"}},
		{"UPDATE product SET name = 'x' WHERE id IN (1, 2)",
			[]string{"product map[id:1]", "product map[id:2]", "supplier by 1", "supplier by 2"}},
		{"UPDATE product SET id = 3001, supplier_id = 5 WHERE id = 3",
			[]string{"product map[id:3001]", "product map[id:3]", "supplier by 3", "supplier by 5"}},
		{"DELETE FROM product WHERE id = 4", []string{"product map[id:4]", "supplier by 4"}},
		{"UPDATE product SET name = 'x' WHERE id = -1", nil},
		{"INSERT INTO product VALUES (5, 'n', 1), (2003, 'n', 1) ON CONFLICT (id) DO UPDATE SET name = excluded.name",
			[]string{
				"product map[id:2003]", "product map[id:5]", "supplier by 1", "supplier by 5"}},
		{"INSERT INTO product VALUES (5, 'n', 1) ON CONFLICT DO NOTHING", nil},
		{"MERGE INTO product p USING (VALUES (6), (2004)) AS v(id) ON p.id = v.id WHEN MATCHED THEN DELETE WHEN " +
			"NOT MATCHED THEN INSERT VALUES (v.id, 'm', 8)", []string{
			"product map[id:2004]", "product map[id:6]", "supplier by 6", "supplier by 8"}},
		{"WITH a AS (DELETE FROM product WHERE id = 7 RETURNING id) INSERT INTO price SELECT id, '2024-01-02 " +
			"00:00+02', 1.50 FROM a", []string{"product map[id:7]", "supplier by 7"}},
		{"INSERT INTO price VALUES (NULL, now(), 1)", nil},
		{"INSERT INTO product VALUES (2005, 'no supplier', NULL)", []string{"product map[id:2005]"}},
		{"INSERT INTO category VALUES (1, 'books')", []string{"menu whole: a change of table category"}},
		{"TRUNCATE category", []string{"menu whole: TRUNCATE of table category"}},
		{"TRUNCATE price", []string{"product whole: TRUNCATE of table price"}},
		{"UPDATE product SET name = 'y' WHERE id BETWEEN 101 AND 300", []string{
			"product whole: a change of more than 100 keys of table product",
			"supplier whole: a change of more than 100 keys of table product"}},
		{"UPDATE product SET name = 'z'", []string{ // so many rows that they are not looked at
			"product whole: a change of more than 100 keys of table product",
			"supplier whole: a change of more than 100 keys of table product"}},
		{"UPDATE price SET product_id = 1", nil},
		{"SET session_replication_role = replica; UPDATE product SET name = 'r' WHERE id = 8",
			[]string{"product map[id:8]", "supplier by 8"}},
		{"BEGIN; UPDATE product SET name = 'r' WHERE id = 9; ROLLBACK", nil},
		{"BEGIN; UPDATE product SET name = 'r' WHERE id = 9; SAVEPOINT a; UPDATE product SET name = 'r' WHERE id = " +
			"10; ROLLBACK TO a; COMMIT", []string{
			"product map[id:9]", "supplier by 9"}},
	} {
		if strings.HasPrefix(c.sql, "MERGE") && r.count("SELECT current_setting('server_version_num')::int") < 150000 {
			continue // Postgres 14 has none
		}
		r.exec(c.sql)
		r.want(c.sql, c.want...)
	}
	if _, err := r.conn().PgConn().CopyFrom(t.Context(), strings.NewReader("2010\tcopied\t3\n2011\tcopied\t3\n"),
		"COPY product FROM STDIN"); err != nil {
		t.Fatal(err)
	}
	r.want("COPY", "product map[id:2010]", "product map[id:2011]", "supplier by 3")
}

// Many rows of few keys are few keys: they are folded where they are recorded.
func TestOutboxFoldsAStatement(t *testing.T) {
	r := newShopOutbox(t)
	r.exec("INSERT INTO price SELECT i % 5, now(), i FROM generate_series(1, 900) i")
	if n := r.count("SELECT coalesce(max(array_length(keys, 1)), 0) FROM stoker_outbox"); n != 5 {
		t.Errorf("%d values are recorded, want 5", n)
	}
	r.want("900 prices of five products", "product map[id:0]", "product map[id:1]", "product map[id:2]",
		"product map[id:3]", "product map[id:4]")
}

// A transaction that commits late has lower ids than what was read and deleted
// before. Broken by: a high-water mark.
func TestOutboxLosesNothingThatCommitsLate(t *testing.T) {
	r := newShopOutbox(t)
	slow := r.conn()
	if _, err := slow.Exec(t.Context(), "BEGIN; UPDATE product SET name = 'slow' WHERE id = 1"); err != nil {
		t.Fatal(err)
	}
	r.exec("UPDATE product SET name = 'fast' WHERE id = 2")
	if got := r.next(false); len(got) != 2 {
		t.Errorf("while a transaction is open: %v", got)
	}
	if _, err := slow.Exec(t.Context(), "COMMIT"); err != nil {
		t.Fatal(err)
	}
	r.want("the slow one", "product map[id:1]", "supplier by 1")
}

// Several writers commit and roll back while the feed is read and deleted from:
// what it yields is what was committed.
func TestOutboxBesideWriters(t *testing.T) {
	r := newOutbox(t, feedtest.ByKey("item"), "CREATE TABLE item (id int)")
	const writers, each = 4, 48 // so that all keys stay below the limit of a run
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for w := range writers {
		conn := r.conn()
		wg.Go(func() {
			for i := range each {
				end := []string{"COMMIT", "ROLLBACK"}[i%2]
				if _, err := conn.Exec(ctx, fmt.Sprintf("BEGIN; INSERT INTO item VALUES (%d); SELECT pg_sleep(%g); %s",
					w*each+i, 0.002*float64(i%3), end)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	go func() { wg.Wait(); time.Sleep(200 * time.Millisecond); cancel() }()
	got := make(map[string]bool)
	for ctx.Err() == nil {
		commits, err := r.feed.Next(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range commits {
			for _, line := range effectLines(c.Effect) {
				got[line] = true
			}
			if err := r.feed.Done(t.Context(), c.Position); err != nil {
				t.Fatal(err)
			}
		}
	}
	want := make(map[string]bool)
	for id := 0; id < writers*each; id += 2 {
		want[fmt.Sprintf("a map[id:%d]", id)] = true
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	r.want("in the end")
}

// What was read and not done is yielded again to who opens the feed next, and not
// twice to who has it.
func TestOutboxYieldsAgainWhatWasNotDone(t *testing.T) {
	r := newShopOutbox(t)
	r.exec("UPDATE product SET name = 'x' WHERE id = 11")
	if got := r.next(true); len(got) != 2 {
		t.Fatalf("at first: %v", got)
	}
	r.exec("UPDATE product SET name = 'x' WHERE id = 12")
	if got := strings.Join(r.next(true), ", "); got != "product map[id:12], supplier by 2" {
		t.Errorf("the second alone: %v", got)
	}
	place := r.start.Place
	r.open()
	if r.start.Place != place || r.start.Fresh || !r.start.Durable ||
		r.start.Origin != feedtest.Now(t, r.source).Origin {
		t.Errorf("opened again: %+v, the place was %s", r.start, place)
	}
	r.want("after a crash", "product map[id:11]", "product map[id:12]", "supplier by 1", "supplier by 2")
	r.open()
	r.want("after it was done")
}

// Rows are moved when somebody rewrites the table. They are not lost for that, and
// none is deleted that was not read.
func TestOutboxSurvivesVacuumFull(t *testing.T) {
	r := newShopOutbox(t)
	r.exec("UPDATE product SET name = 'x' WHERE id = 1", "UPDATE product SET name = 'x' WHERE id = 2",
		"DELETE FROM stoker_outbox WHERE id = 1", "UPDATE product SET name = 'x' WHERE id = 3")
	r.next(true)
	r.exec("VACUUM FULL stoker_outbox", "UPDATE product SET name = 'x' WHERE id = 4")
	if got := r.next(false); !strings.Contains(strings.Join(got, ", "), "product map[id:4]") {
		t.Errorf("after the rewrite: %v", got)
	}
	r.next(false)
	r.want("in the end")
}

// Names that need quotes, of tables, columns and types; values print as they do
// everywhere else.
func TestOutboxQuotesAndPrints(t *testing.T) {
	odd := "we\"ird $stoker$ col'um\\n"
	r := newOutbox(t, map[string][]jobs.Watch{
		"odd:{k}":           {{Table: `"Odd ""Schema"".x"."Ta'ble $stoker$"`, Key: map[string]string{"k": odd}}},
		"typed:{b}:{t}:{c}": {{Table: "typed", Key: map[string]string{"b": "keys", "t": "rows_changed", "c": "r"}}},
	}, `CREATE SCHEMA "Odd ""Schema"".x"`,
		`CREATE TABLE "Odd ""Schema"".x"."Ta'ble $stoker$" ("we""ird $stoker$ col'um\n" text)`,
		"CREATE TABLE typed (keys bool, rows_changed timestamptz, r char(3), new_rows int, v int)")
	r.exec(`INSERT INTO "Odd ""Schema"".x"."Ta'ble $stoker$" VALUES ('v"a''l\u{,}')`)
	r.want("odd names", `odd map[k:v"a'l\u{,}]`)
	r.exec("SET timezone = 'Asia/Tokyo'; SET datestyle = 'German'; INSERT INTO typed VALUES (true, '2024-01-02 " +
		"00:00+00', 'ab', 1, 1)")
	r.want("odd settings", "typed map[b:t c:ab  t:2024-01-02 00:00:00+00]")
}

// A column that is gone does not fail the application's statement: the jobs that
// watch are run.
func TestOutboxNeverFailsTheApplication(t *testing.T) {
	r := newShopOutbox(t)
	r.exec("ALTER TABLE price RENAME product_id TO pid", "INSERT INTO price VALUES (1, now(), 1)")
	if got := r.next(false); len(got) != 1 || !strings.HasPrefix(got[0],
		"product whole: a change that could not be recorded (column r.product_id does not exist) of table price") {
		t.Errorf("after a column was renamed: %v", got)
	}
}

// Who writes to a watched table needs no right on the outbox, and gets none.
func TestOutboxAndTheApplicationsRole(t *testing.T) {
	r := newShopOutbox(t)
	r.exec("CREATE ROLE outbox_app", "GRANT SELECT, INSERT, UPDATE, DELETE ON product TO outbox_app",
		"GRANT EXECUTE ON FUNCTION stoker_invalidate(text, jsonb) TO outbox_app")
	t.Cleanup(func() { storetest.Exec(t, r.url, "DROP OWNED BY outbox_app", "DROP ROLE outbox_app") })
	r.exec("SET ROLE outbox_app; UPDATE product SET name = 'x' WHERE id = 1; SELECT stoker_invalidate('product', " +
		"'{\"id\": 5}')")
	r.want("as the application", "product map[id:1]", "product map[id:5]", "supplier by 1")
	conn := r.conn()
	if _, err := conn.Exec(t.Context(), "SET ROLE outbox_app"); err != nil {
		t.Fatal(err)
	}
	for _, sql := range []string{"SELECT FROM stoker_outbox", "INSERT INTO stoker_outbox (job) VALUES ('x')",
		"DELETE FROM stoker_outbox", "SELECT stoker_invalidate('product')"} {
		if _, err := conn.Exec(t.Context(), sql); err == nil || !strings.Contains(err.Error(), "permission denied") {
			t.Errorf("%s: %v", sql, err)
		}
	}
}

// stoker_invalidate takes effect if and when its transaction commits. A mistake in
// a call is skipped; it holds nothing up.
func TestOutboxInvalidate(t *testing.T) {
	r := newShopOutbox(t)
	r.exec("BEGIN; SELECT stoker_invalidate('product', '{\"id\": 1}'); ROLLBACK")
	r.want("rolled back")
	r.exec("BEGIN; SELECT stoker_invalidate('product', jsonb_build_object('id', g)) FROM generate_series(1, 2) g; " +
		"SELECT stoker_invalidate('menu'); COMMIT")
	r.want("committed", "menu whole: stoker_invalidate of the whole job", "product map[id:1]", "product map[id:2]")
	for _, call := range []string{
		`'nosuch', '{"id": 1}'`, `'nosuch'`, `'product', '{}'`, `'product', '{"id": 1, "no": 2}'`,
		`'product', '{"id": null}'`, `'product', '[1]'`, `'product', '5'`, `'product', NULL`, `'product', 'null'`,
	} {
		r.exec("SELECT stoker_invalidate(" + call + ")")
	}
	r.exec(`SELECT stoker_invalidate('product', '{"id": 12345678901234567890.50}')`,
		`SELECT stoker_invalidate('menu', '{}')`)
	r.want("beside nine mistakes", "menu map[]", "product map[id:12345678901234567890.50]")
	if n := r.skipped.Load(); n != 9 {
		t.Errorf("%d calls were refused, want 9\n%s", n, r.log.String())
	}
}
