package outbox_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store/feed/feedtest"
	"github.com/stokerhq/stoker/store/feed/outbox"
	"github.com/stokerhq/stoker/store/storetest"
	"github.com/stokerhq/stoker/store/testserver"
)

// scanned is how often the outbox was read as a whole, and how many entries of its index
// were passed, dead ones among them.
func (r *outboxRig) scanned() (whole, entries int) {
	r.t.Helper()
	return r.count("SELECT seq_scan FROM pg_stat_user_tables WHERE relname = 'stoker_outbox'"),
		r.count("SELECT idx_tup_read FROM pg_stat_user_indexes WHERE relname = 'stoker_outbox'")
}

// A transaction that stays open keeps dead rows from being removed: polls do not pass
// them. Nor do they pass what it has written itself, as long as nothing of it can be seen.
// Broken by: a poll of the whole table; a horizon at the oldest open transaction; a poll
// that looks for the rows of every transaction that was running.
func TestPollsPassNoDeadRows(t *testing.T) {
	for name, begin := range map[string]string{
		"a reader": "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM product",
		"a writer": "BEGIN; UPDATE category SET name = 'x'",
		"a writer of many": "BEGIN; DO $$BEGIN FOR i IN 1..3000 LOOP INSERT INTO stoker_outbox (job) " +
			"VALUES ('menu'); END LOOP; END$$",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newShopOutbox(t)
			holder := r.conn()
			if _, err := holder.Exec(t.Context(), begin); err != nil {
				t.Fatal(err)
			}
			for range 3 {
				r.exec("DO $$BEGIN FOR i IN 1..2000 LOOP UPDATE product SET name = 'x' WHERE id = i % 50; " +
					"END LOOP; END$$")
				r.next(false)
			}
			feedtest.Eventually(t, "counted", func() bool { _, n := r.scanned(); return n > 0 })
			whole, entries := r.scanned()
			for i := range 20 {
				r.exec(fmt.Sprintf("UPDATE product SET name = 'y' WHERE id = %d", i+1))
				if got := r.next(false); len(got) != 2 {
					t.Fatalf("change %d: %v", i, got)
				}
			}
			time.Sleep(1500 * time.Millisecond) // statistics come a second late
			whole2, entries2 := r.scanned()
			// The test itself counts the rows that are left, each time it looks; and what was read
			// before may be counted only now.
			if whole2-whole > 200 || entries2-entries > 12_000 {
				t.Errorf("for 20 changes the outbox was read %d times as a whole, and %d entries of its index",
					whole2-whole, entries2-entries)
			}
			if _, err := holder.Exec(t.Context(), "COMMIT"); err != nil {
				t.Fatal(err)
			}
			r.next(false)
			r.want("in the end")
		})
	}
}

// Transactions end in any order, beside one that is open all the time, with savepoints
// and prepared ones among them: each change is read. Broken by: a horizon without the
// transactions that were running; one that a poll leaves which stopped at its limit.
func TestNothingIsBehindTheHorizon(t *testing.T) {
	for _, version := range storetest.Versions {
		t.Run(fmt.Sprint(version), func(t *testing.T) {
			t.Parallel()
			readBesideWriters(t, storetest.OwnPostgresOf(t, version, "max_prepared_transactions = 20"))
		})
	}
}

func readBesideWriters(t *testing.T, server *testserver.Postgres) {
	t.Helper()
	r := newOutboxAt(t, server.URL("postgres"), feedtest.ByKey("item"), "CREATE TABLE item (id int)")
	const writers, each = 6, 40
	var wg sync.WaitGroup
	for w := range writers {
		conn := r.conn()
		random := rand.New(rand.NewPCG(uint64(w), 7))
		wg.Go(func() { write(t, conn, random, w*each, each) })
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*storetest.Patience*time.Second)
	defer cancel()
	got := make(map[string]bool)
	all := func() bool {
		for id := range writers * each {
			if id%5 != 0 && !got[fmt.Sprintf("a map[id:%d]", id)] {
				return false
			}
		}
		return true
	}
	for ctx.Err() == nil && !all() {
		commits, err := r.feed.Next(ctx)
		for _, c := range commits {
			for _, line := range effectLines(c.Effect) {
				got[line] = true
			}
			err = errors.Join(err, r.feed.Done(t.Context(), c.Position))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	wg.Wait()
	for id := range writers * each {
		key := fmt.Sprintf("a map[id:%d]", id)
		if committed := id%5 != 0; got[key] != committed {
			t.Errorf("%s is read: %v, committed: %v", key, got[key], committed)
		}
	}
	r.want("in the end")
}

// write makes transactions of all kinds; every fifth id is rolled back.
func write(t *testing.T, conn *pgx.Conn, random *rand.Rand, from, n int) {
	for id := from; id < from+n; id++ {
		insert := fmt.Sprintf("INSERT INTO item VALUES (%d); SELECT pg_sleep(%g); ", id, 0.02*random.Float64())
		sql := "BEGIN; " + insert
		switch id % 5 {
		case 0:
			sql += "ROLLBACK"
		case 1:
			sql += "COMMIT"
		case 2:
			sql = "BEGIN; INSERT INTO item VALUES (-1); SAVEPOINT s; " + insert + "RELEASE s; COMMIT"
		case 3:
			sql = "BEGIN; SAVEPOINT s; INSERT INTO item VALUES (-2); ROLLBACK TO s; " + insert + "COMMIT"
		case 4:
			sql += fmt.Sprintf("PREPARE TRANSACTION 'p%d'; SELECT pg_sleep(%g); COMMIT PREPARED 'p%d'", id,
				0.05*random.Float64(), id)
		}
		for _, statement := range splitSQL(sql) {
			if _, err := conn.Exec(t.Context(), statement); err != nil {
				t.Errorf("%s: %v", statement, err)
				return
			}
		}
	}
}

// splitSQL: a prepared transaction is not part of a group of statements.
func splitSQL(sql string) []string { return strings.Split(sql, "; ") }

// An outbox that an older version has installed is read as before, and what it holds when
// it is installed again is not lost.
func TestOutboxOfAnOlderVersion(t *testing.T) {
	r := newShopOutbox(t)
	r.close()
	r.exec("ALTER TABLE stoker_outbox DROP COLUMN xid")
	r.openEvery(time.Millisecond)
	r.exec("UPDATE product SET name = 'x' WHERE id = 1")
	r.want("read as a whole", "product map[id:1]", "supplier by 1")
	if !strings.Contains(r.log.String(), "stoker outbox install --apply") {
		t.Errorf("the log does not say what to run: %s", r.log.String())
	}
	feedtest.WantProblems(t, "an older outbox", feedtest.Checked(t, r.source, r.spec, outbox.Check),
		"warn: the outbox has no index by transaction, and is read as a whole ten times a second, with all dead rows "+
			"that a long transaction keeps: have its owner run: stoker outbox install --apply")
	r.exec("UPDATE product SET name = 'x' WHERE id = 2")
	r.next(true)
	r.exec("UPDATE product SET name = 'x' WHERE id = 3")
	r.install()
	r.exec("UPDATE product SET name = 'x' WHERE id = 4")
	r.open()
	r.want("what was not done", "product map[id:2]", "product map[id:3]", "product map[id:4]", "supplier by 2",
		"supplier by 3", "supplier by 4")
	r.exec("UPDATE product SET name = 'x' WHERE id = 5")
	r.want("by its index", "product map[id:5]", "supplier by 5")
	feedtest.WantProblems(t, "installed again", feedtest.Checked(t, r.source, r.spec, outbox.Check))
	if sql := fmt.Sprint(r.install()); strings.Contains(sql, "ALTER TABLE") || strings.Contains(sql, "CREATE INDEX") {
		t.Errorf("what is there is made again: %s", sql)
	}
}

// Rows that were moved before they were deleted are read again. Broken by: a horizon
// that stays.
func TestRowsThatMovedAreReadAgain(t *testing.T) {
	r := newShopOutbox(t)
	r.exec("UPDATE product SET name = 'x' WHERE id = 9", "DELETE FROM stoker_outbox", "VACUUM stoker_outbox")
	r.next(false)
	r.exec("SELECT stoker_invalidate('menu') FROM generate_series(1, 50)", "UPDATE product SET name = 'x' WHERE id = 1")
	r.next(true)
	r.exec("DELETE FROM stoker_outbox WHERE id < 20", "VACUUM FULL stoker_outbox")
	if err := r.feed.Done(t.Context(), math.MaxUint64); err != nil {
		t.Fatal(err)
	}
	feedtest.Eventually(t, "the outbox is empty", func() bool {
		r.next(false)
		return r.count("SELECT count(*) FROM stoker_outbox") == 0
	})
}

// Broken by: an outbox that is installed and makes the application's statements fail.
func TestInstallNeedsTheMarkOfARow(t *testing.T) {
	server := storetest.OwnPostgres(t)
	url := server.URL("postgres")
	storetest.Exec(t, url, feedtest.Shop, "CREATE ROLE owner LOGIN PASSWORD 'secret'",
		"GRANT ALL ON SCHEMA public TO owner",
		"ALTER TABLE product OWNER TO owner", "ALTER TABLE price OWNER TO owner", "ALTER TABLE category OWNER TO owner",
		"REVOKE EXECUTE ON FUNCTION pg_current_xact_id() FROM PUBLIC")
	s := feedtest.Open(t, feedtest.AsRole(t, url, "owner", "secret"))
	spec := feedtest.Spec(t, jobs.SourceOutbox, feedtest.ShopWatches())
	install := func() error {
		script, err := outbox.Install(t.Context(), s, spec)
		if err != nil {
			t.Fatal(err)
		}
		return outbox.Apply(t.Context(), s, script)
	}
	if err := install(); err == nil || !strings.Contains(err.Error(),
		"GRANT EXECUTE ON FUNCTION pg_current_xact_id() TO owner") {
		t.Errorf("a role that may not call pg_current_xact_id installs: %v", err)
	}
	storetest.Exec(t, url, "UPDATE product SET name = 'x'", "GRANT EXECUTE ON FUNCTION pg_current_xact_id() TO owner")
	if err := install(); err != nil {
		t.Error(err)
	}
	storetest.Exec(t, url, "UPDATE product SET name = 'y'")
}
