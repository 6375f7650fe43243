package wal_test

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store/feed"
	"github.com/stokerhq/stoker/store/feed/feedtest"
	"github.com/stokerhq/stoker/store/feed/wal"
	"github.com/stokerhq/stoker/store/postgres"
	"github.com/stokerhq/stoker/store/storetest"
)

// walSpec watches every table of walSQL in the ways there are.
func walSpec(t *testing.T, url string) *jobs.Spec {
	t.Helper()
	job := func(name, key string, watches ...jobs.Watch) *jobs.Job {
		k, err := jobs.ParseKeyTemplate(key)
		if err != nil {
			t.Fatal(err)
		}
		return &jobs.Job{Name: name, Key: k, Query: "SELECT 1", Watch: watches}
	}
	by := func(table string, columns ...string) jobs.Watch {
		w := jobs.Watch{Table: table, Key: map[string]string{}}
		for _, c := range columns {
			key, from, ok := strings.Cut(c, "=")
			if !ok {
				from = key
			}
			w.Key[key] = from
		}
		return w
	}
	secret := jobs.NewSecret(url)
	return &jobs.Spec{
		Postgres: jobs.Postgres{URL: secret, MaxConnections: 4, StatementTimeout: time.Minute},
		Changes: jobs.Changes{Source: jobs.SourceWAL, URL: secret, Slot: jobs.SlotTemporary, Name: "feed",
			RunAbove: 20},
		Jobs: []*jobs.Job{
			job("plain", "p:{id}", by("plain", "id")),
			job("org", "o:{org}", by("member", "org")),
			job("two", "t:{a}:{b}", by("two", "a", "b=at")),
			job("long", "l:{name}", by("long", "name")),
			job("loose", "x:{other}", by("loose", "other")),
			job("part", "y:{id}", by("parted", "id")),
			job("quoted", "q:{id}", by(`shop."Price List"`, "id=The Id")),
			job("lookup", "k:{id}", jobs.Watch{Table: "plain", Column: "supplier",
				Keys: "SELECT id FROM plain WHERE supplier = ANY($1)"}),
			job("whole", "w", jobs.Watch{Table: "small"}),
		},
	}
}

var walSQL = []string{
	"CREATE TABLE plain (id int PRIMARY KEY, supplier int, name text)", "ALTER TABLE plain REPLICA IDENTITY FULL",
	"CREATE TABLE heir (extra int) INHERITS (plain)", "ALTER TABLE heir REPLICA IDENTITY FULL",
	"CREATE TABLE member (id int PRIMARY KEY, org int NOT NULL)", "CREATE UNIQUE INDEX member_org ON member (org, id)",
	"ALTER TABLE member REPLICA IDENTITY USING INDEX member_org",
	"CREATE TABLE two (a text, at timestamptz, n int, PRIMARY KEY (a, at))",
	"CREATE TABLE long (name text PRIMARY KEY, n int)", "ALTER TABLE long ALTER name SET STORAGE EXTERNAL",
	"CREATE TABLE loose (id int PRIMARY KEY, other int)",
	"CREATE TABLE parted (id int, at int, PRIMARY KEY (id, at)) PARTITION BY RANGE (at)",
	"CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (0) TO (9)",
	"CREATE SCHEMA shop", `CREATE TABLE shop."Price List" ("The Id" int PRIMARY KEY, price numeric)`,
	"CREATE TABLE small (id int PRIMARY KEY)", "CREATE TABLE unwatched (id int)",
	"INSERT INTO plain SELECT i, i % 3, 'x' FROM generate_series(1, 100) i",
	"INSERT INTO member SELECT i, i FROM generate_series(1, 9) i",
	"INSERT INTO two VALUES ('a', '2024-02-29 12:00:00.5+00', 1)", "INSERT INTO long SELECT repeat('x', 2000), 1",
	"INSERT INTO loose VALUES (1, 10)", "INSERT INTO parted VALUES (1, 1)",
	`INSERT INTO shop."Price List" VALUES (7, 1.5)`, "INSERT INTO heir VALUES (900, 1, 'h', 2)",
}

func openWAL(t *testing.T, s *postgres.Source, spec *jobs.Spec) (*wal.Feed, feed.Start) {
	t.Helper()
	w, start, err := wal.Open(t.Context(), wal.Config{Source: s, Spec: spec, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	return w, start
}

// next is the effect of what the feed yields until it has yielded n transactions,
// as text, and the last position.
func next(t *testing.T, w *wal.Feed, n int) (effect string, position uint64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	sum := &feed.Commits{Effect: feed.NewEffect(20)}
	for len(sum.XIDs) < n && ctx.Err() == nil {
		list, err := w.Next(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range list {
			sum.Merge(c)
		}
	}
	if len(sum.XIDs) != n {
		t.Errorf("%d transactions, want %d", len(sum.XIDs), n)
	}
	return describe(sum.Effect), sum.Position
}

func describe(e *feed.Effect) string {
	var out []string
	for p := range e.Parts() {
		if p.RerunReason != "" {
			out = append(out, p.Job.Name+" whole: "+p.RerunReason)
			continue
		}
		for _, text := range slices.Sorted(maps.Keys(p.Keys)) {
			out = append(out, fmt.Sprint(p.Job.Name, " ", map[string]string(p.Keys[text])))
		}
		for _, values := range p.Lookups {
			out = append(out, fmt.Sprint(p.Job.Name, " asks ", slices.Sorted(maps.Keys(values))))
		}
	}
	return strings.Join(out, "\n")
}

// Values print as in every reading, whatever the database is set to.
func TestWAL(t *testing.T) {
	url := storetest.Postgres(t)
	storetest.Exec(t, url, walSQL...)
	storetest.Exec(t, url, "DO $$BEGIN EXECUTE format('ALTER DATABASE %I SET timezone = %L', current_database(), "+
		"'Asia/Tokyo'); EXECUTE format('ALTER DATABASE %I SET datestyle = German', current_database()); END$$")
	w, start := openWAL(t, feedtest.Open(t, url), walSpec(t, url))
	if !start.Fresh || start.Durable || start.Origin == "" {
		t.Errorf("start %+v", start)
	}
	long := strings.Repeat("x", 2000)
	for _, test := range []struct{ sql, want string }{
		{"UPDATE plain SET name = 'y' WHERE id = 4", "lookup asks [1]\nplain map[id:4]"},
		{"UPDATE plain SET supplier = 2 WHERE id = 4", "lookup asks [1 2]\nplain map[id:4]"},
		{"UPDATE plain SET id = 400 WHERE id = 4", "lookup asks [2]\nplain map[id:4]\nplain map[id:400]"},
		{"INSERT INTO plain VALUES (500, NULL, 'z')", "plain map[id:500]"},
		{"UPDATE heir SET extra = 3", "lookup asks [1]\nplain map[id:900]"},
		{"DELETE FROM plain WHERE id IN (5, 6)", "lookup asks [0 2]\nplain map[id:5]\nplain map[id:6]"},
		{"UPDATE plain SET name = 'all'", "lookup asks [0 1 2]\nplain whole: changes of more than 20 keys"},
		{"UPDATE member SET org = 20 WHERE id = 2", "org map[org:2]\norg map[org:20]"},
		{"DELETE FROM member WHERE id = 2", "org map[org:20]"},
		{"UPDATE two SET n = 2", "two map[a:a b:2024-02-29 12:00:00.5+00]"},
		{"UPDATE two SET a = 'b'", "two map[a:a b:2024-02-29 12:00:00.5+00]\ntwo map[a:b b:2024-02-29 12:00:00.5+00]"},
		{"UPDATE long SET n = 2", "long map[name:" + long + "]"}, // its key lies outside of the row
		{"UPDATE loose SET id = 2", "loose whole: a change of table loose that does not carry its column other"},
		{"UPDATE parted SET id = 2", "part map[id:1]\npart map[id:2]"},
		{"UPDATE parted_1 SET id = 3", "part map[id:2]\npart map[id:3]"},
		{`UPDATE shop."Price List" SET price = 2`, "quoted map[id:7]"},
		{"INSERT INTO small VALUES (1)", "whole whole: a change of table small"},
		{"TRUNCATE parted, member", "org whole: TRUNCATE of table member\npart whole: TRUNCATE of table parted"},
		{"DO $$BEGIN INSERT INTO plain VALUES (600); BEGIN INSERT INTO plain VALUES (601); RAISE 'back'; EXCEPTION " +
			"WHEN OTHERS THEN END; END$$", "plain map[id:600]"},
		{"INSERT INTO plain VALUES (600) ON CONFLICT (id) DO UPDATE SET name = 'up'", "plain map[id:600]"},
		{"ALTER TABLE two RENAME COLUMN at TO moment; UPDATE two SET n = 9",
			"two whole: a change of table two that does not carry its column at"},
	} {
		storetest.Exec(t, url, "INSERT INTO unwatched VALUES (1)", test.sql)
		if got, _ := next(t, w, 1); got != test.want {
			t.Errorf("%s\nhas the effect %s\nwant %s", test.sql, got, test.want)
		}
	}
	// What is rolled back comes with no commit.
	storetest.Exec(t, url, "BEGIN; INSERT INTO plain VALUES (700); ROLLBACK", "INSERT INTO plain VALUES (701)")
	if got, _ := next(t, w, 1); got != "plain map[id:701]" {
		t.Errorf("after a rollback: %s", got)
	}
}

// Broken by: a publication or a table that is not what the feed was opened for, also
// if it is by now, and a feed that goes on as if it were.
func TestWALGuard(t *testing.T) {
	for name, test := range map[string]struct {
		sql  []string
		want string
	}{
		"made anew": {[]string{"DROP TABLE small", "CREATE TABLE small (id int PRIMARY KEY)"},
			"a watched table is gone or was made anew"},
		"gone": {[]string{"DROP TABLE small"}, "a watched table is gone or was made anew"},
		"not in it": {[]string{"ALTER PUBLICATION feed DROP TABLE small"},
			"does not have every watched table any more"},
		"altered back": {[]string{"ALTER PUBLICATION feed SET (publish = 'insert')",
			"ALTER PUBLICATION feed SET (publish = 'insert, update, delete, truncate')"},
			"publication feed was altered"},
		"put back": {[]string{"ALTER PUBLICATION feed DROP TABLE small", "ALTER PUBLICATION feed ADD TABLE small"},
			"publication feed was altered"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := storetest.Postgres(t)
			storetest.Exec(t, url, walSQL...)
			w, _ := openWAL(t, feedtest.Open(t, url), walSpec(t, url))
			storetest.Exec(t, url, test.sql...)
			ctx, cancel := context.WithTimeout(t.Context(), 25*time.Second)
			defer cancel()
			for {
				list, err := w.Next(ctx)
				if err != nil && strings.Contains(err.Error(), test.want) {
					return
				}
				if err != nil || ctx.Err() != nil {
					t.Fatalf("%v, %v; want an error that says what has changed", list, err)
				}
			}
		})
	}
}

// A walsender that is terminated ends the feed; with a temporary slot nothing is
// left behind.
func TestWALEnds(t *testing.T) {
	url := storetest.Postgres(t)
	storetest.Exec(t, url, walSQL...)
	s := feedtest.Open(t, url)
	w, start := openWAL(t, s, walSpec(t, url))
	name := strings.TrimPrefix(start.Place, "wal ")
	if slot, err := wal.ReadSlot(t.Context(), s, name); err != nil || !slot.Exists || slot.Active == 0 {
		t.Fatalf("slot %+v, %v", slot, err)
	}
	storetest.Exec(t, url, "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = '"+name+
		"'")
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if _, err := w.Next(ctx); err == nil {
		t.Error("a feed whose walsender is gone goes on")
	}
	// The walsender says that it ends before it has: the slot goes with its end.
	feedtest.Eventually(t, "the slot is gone", func() bool {
		slot, err := wal.ReadSlot(t.Context(), s, name)
		if err != nil {
			t.Fatal(err)
		}
		return !slot.Exists
	})
}

// Broken by: an acknowledgement of what is not done, or done so lately that a
// failover of Redis may lose its fence; and by a slot that keeps WAL for an idle
// database.
func TestPermanentSlot(t *testing.T) {
	server := storetest.OwnPostgres(t)
	url := server.URL("postgres")
	storetest.Exec(t, url, walSQL...)
	s, spec := feedtest.Open(t, url), walSpec(t, url)
	spec.Changes.Slot = jobs.SlotPermanent
	if _, _, err := wal.Open(t.Context(), wal.Config{Source: s, Spec: spec,
		Log: slog.New(slog.DiscardHandler)}); err == nil || !strings.Contains(err.Error(), "max_slot_wal_keep_size") {
		t.Fatalf("without a limit of the WAL that is kept: %v", err)
	}
	spec.Changes.UnboundedWAL = true
	again := func() (*wal.Feed, feed.Start) {
		t.Helper()
		w, start, err := wal.Open(t.Context(), wal.Config{Source: s, Spec: spec, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		return w, start
	}
	confirmed := func() uint64 {
		t.Helper()
		slot, err := wal.ReadSlot(t.Context(), s, "feed")
		if err != nil || !slot.Exists || slot.Status != "reserved" {
			t.Fatalf("%+v, %v", slot, err)
		}
		return slot.Position
	}
	first, start := again()
	if !start.Fresh || !start.Durable {
		t.Errorf("made anew: %+v", start)
	}
	begin := confirmed()
	storetest.Exec(t, url, "UPDATE loose SET other = 11", "INSERT INTO small VALUES (1)")
	_, position := next(t, first, 2)
	time.Sleep(2500 * time.Millisecond)
	if at := confirmed(); at != begin {
		t.Errorf("acknowledged %d, and nothing is done", at)
	}
	// Another replica takes the slot over, and is given what was not done.
	w, start := again()
	if start.Fresh || start.Place == "" || start.Position != begin {
		t.Errorf("taken over: %+v", start)
	}
	if err := first.Close(); err != nil {
		t.Error(err)
	}
	if got, _ := next(t, w, 2); got != "loose whole: a change of table loose that does not carry its column "+
		"other\nwhole whole: a change of table small" {
		t.Errorf("yielded again: %s", got)
	}
	if err := w.Done(t.Context(), position); err != nil {
		t.Error(err)
	}
	time.Sleep(2500 * time.Millisecond)
	if at := confirmed(); at != begin {
		t.Errorf("acknowledged %d, whose fences are too young", at)
	}
	w.Hold(0)
	feedtest.Eventually(t, "what is done is acknowledged", func() bool { return confirmed() >= position })
	// An idle feed passes what others write.
	storetest.Exec(t, url, "INSERT INTO unwatched SELECT generate_series(1, 1000)")
	feedtest.Eventually(t, "what does not concern us is passed", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		list, err := w.Next(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range list {
			if err := w.Done(t.Context(), c.Position); err != nil {
				t.Fatal(err)
			}
		}
		return confirmed() > position+50_000
	})
	if err := w.Close(); err != nil {
		t.Error(err)
	}
	// The slot goes on in its place, unless what is published of ours was altered.
	for _, test := range []struct {
		sql  string
		same bool
	}{
		{"ALTER PUBLICATION feed ADD TABLE unwatched", true},
		{"ALTER PUBLICATION feed SET (publish = 'insert'); ALTER PUBLICATION feed SET (publish = 'insert, update, " +
			"delete, truncate')", false},
	} {
		storetest.Exec(t, url, test.sql)
		w, next := again()
		if got := next.Place == start.Place; got != test.same {
			t.Errorf("after %s the place is the same: %v", test.sql, got)
		}
		if err := w.Close(); err != nil {
			t.Error(err)
		}
		start = next
	}
}

// Broken by: a message that comes as the time to tell Postgres is over, and is thrown
// away. With a millisecond of it, one in some twenty changes would be lost.
func TestWALLosesNoMessage(t *testing.T) {
	url := storetest.Postgres(t)
	storetest.Exec(t, url, walSQL...)
	w, _ := openWAL(t, feedtest.Open(t, url), walSpec(t, url))
	w.AckEvery(time.Millisecond)
	storetest.Exec(t, url, "SELECT 1")
	time.Sleep(time.Second) // the last long wait is over
	const statements, each = 20, 1000
	for range statements {
		storetest.Exec(t, url, fmt.Sprintf("INSERT INTO plain SELECT i, 1 FROM generate_series(1, %d) i ON "+
			"CONFLICT (id) DO UPDATE SET supplier = 1", each))
	}
	rows, transactions := int64(0), 0
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for transactions < statements && ctx.Err() == nil {
		list, err := w.Next(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range list {
			rows += c.Rows
			transactions += len(c.XIDs)
		}
	}
	if rows != statements*each || transactions != statements {
		t.Errorf("%d rows in %d transactions, want %d in %d", rows, transactions, statements*each, statements)
	}
}
