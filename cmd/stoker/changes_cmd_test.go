package main

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/stokerhq/stoker/store/storetest"
)

// leavingSpec is a spec with a source of changes, or with none.
const leavingSpec = `postgres: {url: "${PG}"}
redis: {url: "${RD}"}
admin: {listen: "${LISTEN}"}
changes: {CHANGES}
jobs:
  - name: item
    query: SELECT id, name FROM item
    key: "item:{id}"
    ttl: 1h
WATCH`

const itemWatch = "    watch: [{table: item, key: {id: id}}]\n"

func leaving(t *testing.T, changes string) string {
	t.Helper()
	watch := itemWatch
	if strings.Contains(changes, "none") {
		watch = ""
	}
	return specFile(t, strings.NewReplacer("CHANGES", changes, "WATCH", watch).Replace(leavingSpec))
}

var itemSQL = []string{"CREATE TABLE item (id int PRIMARY KEY, name text)", "INSERT INTO item VALUES (1, 'a')",
	"CREATE TABLE loose (id int)"}

// Broken by: a publication that outlives Stoker without a word, so that a migration that drops a primary key makes
// the application's UPDATE fail.
func TestLeavingStoker(t *testing.T) {
	t.Parallel()
	w := newServers(t)
	w.vars["LISTEN"] = freeAddress(t)
	storetest.Exec(t, w.vars["PG"], itemSQL...)
	wal, none := leaving(t, "source: wal"), leaving(t, "source: none")
	stoker(t, w.vars, "changes", "remove", "--config", none).want(t, 0, "",
		"nothing of Stoker's is there: nothing to remove\n")
	d := start(t, w.vars, "run", "--config", wal)
	eventually(t, 20*time.Second, "changes are followed", func() (bool, error) {
		return strings.Contains(d.log.String(), "changes are followed"), nil
	})
	if r := stoker(t, w.vars, "changes", "remove", "--apply", "--config", wal); r.status != 1 ||
		!strings.Contains(r.stderr, "changes are followed by process") {
		t.Errorf("while it is followed: %+v", r)
	}
	if r := stoker(t, w.vars, "check", "--config", none); strings.Contains(r.stdout, "is left") {
		t.Errorf("what another spec follows is said to be left:\n%s", r.stdout)
	}
	d.stop(os.Interrupt)

	found := stoker(t, w.vars, "check", "--config", none)
	if !strings.Contains(found.stdout, "warn  changes   publication stoker (of item), which Stoker made, is left") ||
		!strings.Contains(found.stdout, "remove it: stoker changes remove --apply\n") {
		t.Errorf("check with source none:\n%s", found.stdout)
	}
	storetest.Exec(t, w.vars["PG"], "ALTER TABLE item DROP CONSTRAINT item_pkey")
	if r := stoker(t, w.vars, "check", "--config", none); r.status != 1 || !strings.Contains(r.stdout, "fail  "+
		"changes   every UPDATE and DELETE of the application on table public.item fails, because publication stoker "+
		`has it, and it has no replica identity: ALTER PUBLICATION "stoker" DROP TABLE ONLY public.item`) {
		t.Errorf("check of a publication that hurts: status %d\n%s", r.status, r.stdout)
	}
	stoker(t, w.vars, "changes", "remove", "--config", none).want(t, 0, "DROP PUBLICATION IF EXISTS \"stoker\";\n", "")
	stoker(t, w.vars, "changes", "remove", "--apply", "--config", none).want(t, 0, "done: 1 statement\n", "")
	if r := stoker(t, w.vars, "check", "--config", none); strings.Contains(r.stdout, "is left") {
		t.Errorf("check after the removal:\n%s", r.stdout)
	}
	storetest.Exec(t, w.vars["PG"], "UPDATE item SET name = 'b'")
}

// A running daemon ends what makes the application's statements fail, within moments.
func TestDaemonProtectsTheApplication(t *testing.T) {
	t.Parallel()
	w := newServers(t)
	w.vars["LISTEN"] = freeAddress(t)
	storetest.Exec(t, w.vars["PG"], itemSQL...)
	d := start(t, w.vars, "run", "--config", leaving(t, "source: wal"))
	eventually(t, 20*time.Second, "changes are followed", func() (bool, error) {
		return strings.Contains(d.log.String(), "changes are followed"), nil
	})
	conn, err := pgx.Connect(t.Context(), w.vars["PG"])
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	storetest.Exec(t, w.vars["PG"], "ALTER TABLE item DROP CONSTRAINT item_pkey")
	eventually(t, 20*time.Second, "the application's UPDATE works", func() (bool, error) {
		_, err := conn.Exec(t.Context(), "UPDATE item SET name = 'c'")
		return err == nil, err
	})
	storetest.Exec(t, w.vars["PG"], "ALTER TABLE item ADD PRIMARY KEY (id)")
	eventually(t, 60*time.Second, "its changes are followed again", func() (bool, error) {
		storetest.Exec(t, w.vars["PG"], "UPDATE item SET name = 'd'")
		return w.client.Get(t.Context(), "item:1").Val() == `{"id":1,"name":"d"}`, nil
	})
}

// Broken by: a publication, or a slot, that Stoker did not make and that is dropped; and by a check that is silent.
func TestChangesRemoveSparesWhatIsNotOurs(t *testing.T) {
	vars, _ := newShop(t)
	vars["LISTEN"] = "127.0.0.1:0"
	storetest.Exec(t, vars["PG"], itemSQL...)
	wal, none := leaving(t, "source: wal"), leaving(t, "source: none")
	storetest.Exec(t, vars["PG"], "CREATE PUBLICATION stoker FOR TABLE item",
		"CREATE PUBLICATION theirs FOR TABLE item",
		"COMMENT ON PUBLICATION theirs IS 'for the warehouse'")
	for _, spec := range []string{wal, none} {
		r := stoker(t, vars, "changes", "remove", "--apply", "--config", spec)
		if r.status != 1 || !strings.Contains(r.stderr, "publication stoker is left alone: it does not have the mark "+
			`of one that Stoker made; if nothing else uses it: DROP PUBLICATION IF EXISTS "stoker"`) {
			t.Errorf("not made by Stoker: %+v", r)
		}
	}
	r := stoker(t, vars, "check", "--config", none)
	if !strings.Contains(r.stdout, "there is a publication stoker (of item), without the mark") ||
		strings.Contains(r.stdout, "theirs") {
		t.Errorf("check:\n%s", r.stdout)
	}
	stoker(t, vars, "changes", "remove", "--name", "theirs", "--config", none).want(t, 1, "", "stoker: publication "+
		"theirs is left alone: it does not have the mark of one that Stoker made; if nothing else uses it: "+
		"DROP PUBLICATION IF EXISTS \"theirs\"\n")
	stoker(t, vars, "changes", "remove", "--source", "paper", "--config", none).want(t, 2, "",
		"stoker: --source is \"paper\": give wal or outbox\n")
}

// What install prints is what --apply runs, and what the daemon makes.
func TestChangesInstall(t *testing.T) {
	vars, _ := newShop(t)
	vars["LISTEN"] = "127.0.0.1:0"
	storetest.Exec(t, vars["PG"], itemSQL...)
	wal, outbox, none := leaving(t, "source: wal"), leaving(t, "source: outbox"), leaving(t, "source: none")
	run := func(spec, line string) result {
		return stoker(t, vars, append(strings.Fields(line), "--config", spec)...)
	}
	if r := run(none, "changes install"); r.status != 2 || !strings.Contains(r.stderr, "there is nothing to install") {
		t.Errorf("with source none: %+v", r)
	}
	if r := run(wal, "changes install"); r.status != 0 ||
		!strings.HasPrefix(r.stdout, `CREATE PUBLICATION "stoker" FOR TABLE public.item WITH (`) ||
		!strings.Contains(r.stdout, "\nCOMMENT ON PUBLICATION \"stoker\" IS 'Made by Stoker") {
		t.Errorf("install of wal: %+v", r)
	}
	run(wal, "changes install --apply").want(t, 0, "done: 2 statements\n", "")
	run(wal, "changes install").want(t, 0, "", "everything is there: nothing to install\n")
	storetest.Exec(t, vars["PG"], "ALTER PUBLICATION stoker ADD TABLE loose")
	if r := run(wal, "check"); !strings.Contains(r.stdout, "publication stoker has public.loose, which no job "+
		"watches: stoker changes install --apply takes it out\n") || !strings.Contains(r.stdout, "every UPDATE and "+
		"DELETE of the application on table public.loose fails") {
		t.Errorf("check of a table that is published besides:\n%s", r.stdout)
	}
	run(wal, "changes install").want(t, 0, "ALTER PUBLICATION \"stoker\" DROP TABLE ONLY public.loose;\n", "")
	run(wal, "changes install --apply").want(t, 0, "done: 1 statement\n", "")

	storetest.Exec(t, vars["PG"], "CREATE ROLE changes_reader LOGIN PASSWORD 'x'")
	t.Cleanup(func() { storetest.Exec(t, vars["PG"], "DROP ROLE changes_reader") })
	owner := vars["PG"]
	_, address, _ := strings.Cut(owner, "@")
	vars["PG"] = "postgres://changes_reader:x@" + address
	if r := run(wal, "changes remove --apply"); r.status != 1 || !strings.Contains(r.stderr, "must be owner of "+
		"publication stoker") || !strings.Contains(r.stderr, "have a role that may run what the command prints") {
		t.Errorf("remove by a role that may not: %+v", r)
	}
	vars["PG"] = owner

	// The other source: what is left of the one before is named, with the command that removes it.
	if r := run(outbox, "changes install --apply"); r.status != 0 ||
		!strings.HasPrefix(r.stdout, "done: ") {
		t.Errorf("install of outbox: %+v", r)
	}
	for _, c := range []struct{ spec, left, remove string }{
		{outbox, "publication stoker (of item), which Stoker made, is left", "changes remove --source wal --apply"},
		{wal, "the outbox is left, and changes.source is wal", "changes remove --source outbox --apply"},
		{none, "", "changes remove --apply"},
	} {
		before := run(c.spec, "check")
		if !strings.Contains(before.stdout, c.left) || !strings.Contains(before.stdout, "stoker "+c.remove+"\n") {
			t.Errorf("check names not %q and %q:\n%s", c.left, c.remove, before.stdout)
		}
		if r := run(c.spec, c.remove); r.status != 0 || !strings.HasPrefix(r.stdout, "done: ") {
			t.Errorf("%s: %+v", c.remove, r)
		}
		if r := run(c.spec, "check"); strings.Contains(r.stdout, "is left") {
			t.Errorf("check after %s:\n%s", c.remove, r.stdout)
		}
		run(wal, "changes install --apply")
		run(outbox, "changes install --apply")
	}
}

// A permanent slot that nobody reads keeps WAL until the disk is full.
func TestChangesRemoveSlot(t *testing.T) {
	vars, _ := newShop(t)
	vars["LISTEN"] = "127.0.0.1:0"
	storetest.Exec(t, vars["PG"], itemSQL...)
	const slot = "SELECT pg_create_logical_replication_slot('left_one', 'pgoutput')"
	temporary := leaving(t, "source: wal, name: left_one")
	permanent := leaving(t, "source: wal, name: left_one, slot: permanent, unbounded_wal: true")
	none := leaving(t, "source: none")
	storetest.Exec(t, vars["PG"], slot)
	t.Cleanup(func() {
		storetest.Exec(t, vars["PG"], "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots "+
			"WHERE slot_name = 'left_one'")
	})
	if r := stoker(t, vars, "changes", "remove", "--apply", "--config", temporary); r.status != 1 ||
		!strings.Contains(r.stderr, "slot left_one is left alone: there is no publication of that name") {
		t.Errorf("a slot that may be another's: %+v", r)
	}
	if r := stoker(t, vars, "check", "--config", temporary); !strings.Contains(r.stdout,
		"permanent slot left_one is left, and nobody reads it: it keeps WAL until the disk is full; unless another "+
			"program uses it, drop it: SELECT pg_drop_replication_slot('left_one')\n") {
		t.Errorf("check with a temporary slot:\n%s", r.stdout)
	}
	stoker(t, vars, "changes", "install", "--apply", "--config", permanent).want(t, 0, "done: 2 statements\n", "")
	if r := stoker(t, vars, "check", "--config", permanent); strings.Contains(r.stdout, "is left") {
		t.Errorf("check of the spec whose slot it is:\n%s", r.stdout)
	}
	if r := stoker(t, vars, "check", "--config", none); !strings.Contains(r.stdout, "permanent slot left_one is left, "+
		"and nobody reads it: it keeps WAL until the disk is full; unless another spec uses it, stoker changes remove "+
		"--name left_one --apply removes it with the publication\n") {
		t.Errorf("check with source none:\n%s", r.stdout)
	}
	stoker(t, vars, "changes", "remove", "--apply", "--config", none).want(t, 0, "done: 2 statements\n", "")
	stoker(t, vars, "changes", "remove", "--apply", "--config", none).want(t, 0, "",
		"nothing of Stoker's is there: nothing to remove\n")
}

// The application's UPDATE of a table with a generated column and REPLICA IDENTITY FULL goes on while Stoker follows
// it on Postgres 18, and names the keys by that column. Broken by: a publication without generated columns.
func TestDaemonFollowsGeneratedColumns18(t *testing.T) {
	w := newServers(t)
	w.vars["PG"], w.vars["LISTEN"] = storetest.Postgres18(t), freeAddress(t)
	storetest.Exec(t, w.vars["PG"],
		"CREATE TABLE item (id int GENERATED ALWAYS AS (n * 10) STORED, n int PRIMARY KEY, name text)",
		"ALTER TABLE item REPLICA IDENTITY FULL", "INSERT INTO item (n, name) VALUES (1, 'a')")
	spec := leaving(t, "source: wal")
	if r := stoker(t, w.vars, "check", "--config", spec); r.status != 0 {
		t.Errorf("check: %+v", r)
	}
	d := start(t, w.vars, "run", "--config", spec)
	eventually(t, 20*time.Second, "changes are followed, and the job has run", func() (bool, error) {
		return strings.Contains(d.log.String(), "changes are followed") && w.client.Exists(t.Context(),
			"item:10").Val() == 1, nil
	})
	storetest.Exec(t, w.vars["PG"], "UPDATE item SET n = 2, name = 'b'")
	w.becomesWithin(t, 20*time.Second, map[string]string{"item:20": `{"id":20,"name":"b"}`, "item:10": ""})
}
