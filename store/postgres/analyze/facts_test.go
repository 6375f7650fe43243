package analyze_test

import (
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/stokerhq/stoker/store/storetest"
)

var shop = []string{`
CREATE TABLE product (id int PRIMARY KEY, name text, price numeric, day date, at timestamptz, data jsonb, supplier_id int);
CREATE TABLE supplier (id int PRIMARY KEY, name text);
CREATE TABLE "Odd Name" ("Id" int PRIMARY KEY, "Now" text);
CREATE TABLE event (id int, at timestamptz) PARTITION BY RANGE (at);
CREATE TABLE event_1 PARTITION OF event FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
CREATE TABLE event_2 PARTITION OF event FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE TABLE parent (id int); CREATE TABLE child () INHERITS (parent);
CREATE SEQUENCE ticket;
CREATE VIEW plain AS SELECT p.id, s.name FROM product p JOIN supplier s ON s.id = p.supplier_id;
CREATE VIEW nested AS SELECT * FROM plain;
CREATE MATERIALIZED VIEW kept AS SELECT id, now() AS at FROM product;
CREATE VIEW fresh AS SELECT id FROM product WHERE at > now() - interval '1 hour';
CREATE VIEW fresher AS SELECT f.id FROM fresh f;
CREATE VIEW today AS SELECT id FROM product WHERE day = 'now'::text::date;
CREATE VIEW frozen AS SELECT id FROM product WHERE day = 'today'::date;
CREATE VIEW dated AS SELECT id FROM product WHERE day = CURRENT_DATE;
CREATE FUNCTION simple(i int) RETURNS text LANGUAGE sql STABLE AS 'SELECT name FROM supplier WHERE id = i';
CREATE FUNCTION atomic(i int) RETURNS text LANGUAGE sql STABLE BEGIN ATOMIC SELECT name FROM supplier WHERE id = i; END;
CREATE FUNCTION pl(i int) RETURNS text LANGUAGE plpgsql STABLE AS $$ BEGIN RETURN (SELECT name FROM supplier WHERE id = i); END $$;
CREATE FUNCTION outer_(i int) RETURNS text LANGUAGE plpgsql STABLE AS $$ BEGIN RETURN pl(i); END $$;
CREATE FUNCTION unmarked(i int) RETURNS text LANGUAGE sql AS 'SELECT name FROM supplier WHERE id = i';
CREATE FUNCTION clock_in(i int) RETURNS bool LANGUAGE plpgsql STABLE AS $$ BEGIN RETURN now() > '2024-01-01'; END $$;
CREATE FUNCTION clock_deep(i int) RETURNS bool LANGUAGE sql STABLE AS 'SELECT clock_in(i)';
CREATE FUNCTION literal_() RETURNS date LANGUAGE sql STABLE AS $$ SELECT 'today'::date $$;
CREATE FUNCTION trusted() RETURNS timestamptz LANGUAGE sql IMMUTABLE AS 'SELECT now()';
CREATE FUNCTION viewed(i int) RETURNS bigint LANGUAGE plpgsql STABLE AS $$ BEGIN RETURN (SELECT count(*) FROM fresh); END $$;
CREATE FUNCTION builds(t text) RETURNS bigint LANGUAGE plpgsql STABLE AS $$ DECLARE n bigint; BEGIN EXECUTE 'SELECT count(*) FROM ' || t INTO n; RETURN n; END $$;
CREATE FUNCTION writes(i int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN INSERT INTO supplier VALUES (i); RETURN i; END $$;
CREATE FUNCTION writes_deep(i int) RETURNS int LANGUAGE sql AS 'SELECT writes(i)';
CREATE FUNCTION updates() RETURNS int LANGUAGE sql AS $$ WITH u AS (UPDATE supplier SET name = 'x' RETURNING id) SELECT max(id) FROM u $$;
CREATE FUNCTION numbers() RETURNS bigint LANGUAGE plpgsql AS $$ BEGIN RETURN nextval('ticket'); END $$;
CREATE FUNCTION locks() RETURNS bigint LANGUAGE plpgsql AS $$ DECLARE r product; BEGIN SELECT * INTO r FROM product LIMIT 1 FOR UPDATE; RETURN 1; END $$;
CREATE FUNCTION dynamic() RETURNS int LANGUAGE plpgsql AS $$ BEGIN EXECUTE 'DELETE FROM supplier'; RETURN 1; END $$;
CREATE FUNCTION loops() RETURNS int LANGUAGE plpgsql STABLE AS $$ DECLARE key record; BEGIN FOR key IN SELECT 1 FROM supplier LOOP END LOOP; RETURN 1; END $$;
CREATE FUNCTION step(a int, b int) RETURNS int LANGUAGE sql STABLE AS 'SELECT a + b + extract(hour FROM now())::int';
CREATE AGGREGATE odd_sum (int) (SFUNC = step, STYPE = int, INITCOND = '0');
CREATE FUNCTION near(a int, b int) RETURNS bool LANGUAGE sql STABLE AS 'SELECT a < b + extract(hour FROM now())::int';
CREATE OPERATOR <~> (LEFTARG = int, RIGHTARG = int, FUNCTION = near);
CREATE SCHEMA hid; CREATE TABLE hid.stock (id int);
CREATE FUNCTION elsewhere() RETURNS bigint LANGUAGE plpgsql STABLE SET search_path = hid AS $$ BEGIN RETURN (SELECT count(*) FROM stock); END $$`}

// What is read is what the plan scans, through views, and what the functions that it calls name.
func TestRelations(t *testing.T) {
	a, _ := newAnalyst(t, shop...)
	for query, want := range map[string]string{
		"SELECT id FROM product":                                                "product",
		"SELECT p.id FROM product p, supplier s":                                "product supplier",
		"SELECT id FROM product WHERE supplier_id IN (SELECT id FROM supplier)": "product supplier",
		"SELECT id, (SELECT max(id) FROM supplier) FROM product":                "product supplier",
		"SELECT id FROM plain":                                                  "product supplier",
		"SELECT id FROM nested":                                                 "product supplier",
		"SELECT id FROM kept":                                                   "kept",
		"SELECT id FROM event":                                                  "event",
		"SELECT id FROM event WHERE at > now()":                                 "event",
		"SELECT id FROM parent":                                                 "parent",
		`SELECT "Id" AS id FROM "Odd Name"`:                                     `"Odd Name"`,
		"SELECT id, simple(id) FROM product":                                    "product supplier",
		"SELECT id, atomic(id) FROM product":                                    "product supplier",
		"SELECT id, pl(id) FROM product":                                        "product supplier",
		"SELECT id, outer_(id) FROM product":                                    "product supplier",
		"SELECT id, viewed(id) FROM supplier":                                   "product supplier",
		"SELECT id, elsewhere() FROM supplier":                                  "hid.stock supplier",
		`WITH a AS (SELECT id FROM supplier) SELECT p.id FROM product p JOIN a ON a.id = p.supplier_id`: "product supplier",
		"SELECT id FROM hid.stock": "hid.stock",
		"SELECT 1 AS id":           "",
	} {
		var got []string
		for _, r := range factsOf(t, a, newJob(t, query, "k:{id}")).Relations {
			if !slices.Contains(got, r.Name) {
				got = append(got, r.Name)
			}
		}
		slices.Sort(got)
		if strings.Join(got, " ") != want {
			t.Errorf("%s: reads %q, want %q", query, got, want)
		}
	}
}

// Whatever may change without a commit is found, also behind views, functions, operators and casts; what cannot,
// is not.
func TestUnsteady(t *testing.T) {
	a, _ := newAnalyst(t, shop...)
	for query, want := range map[string]string{
		"SELECT id, now() FROM product":                                "now()",
		`SELECT id FROM fresh`:                                         "now() (in view fresh)",
		`SELECT id FROM fresher`:                                       "now() (in view fresh)",
		`SELECT id FROM today`:                                         "'now' (in view today)",
		`SELECT id FROM dated`:                                         "CURRENT_DATE (in view dated)",
		"SELECT id FROM product WHERE day > CURRENT_DATE":              "CURRENT_DATE",
		"SELECT id, LOCALTIMESTAMP(0) FROM product":                    "LOCALTIMESTAMP",
		"SELECT id, age(at) FROM product":                              "age()",
		"SELECT id, age(at::timestamp) FROM product":                   "CURRENT_DATE",
		"SELECT id FROM product WHERE day = 'now'::text::date":         "'now'",
		"SELECT id FROM product WHERE day = 'today'":                   "'today'",
		"SELECT id FROM product WHERE at > ('no' || 'w')::timestamptz": "'now'",
		`SELECT id, name::timestamptz FROM product`: "a timestamp read " +
			"from text, which may say 'now'",
		`SELECT id, (data ->> 'day')::date FROM product`: "a date read from " +
			"text, which may say 'now'",
		`SELECT id, lower(name)::date FROM product`: "a date read from " +
			"text, which may say 'now'",
		"SELECT id FROM product WHERE at > 'today 12:00'":                                       "'today 12:00'",
		"SELECT id FROM product WHERE day = ANY ('{today}')":                                    "'{today}'",
		"SELECT id FROM product WHERE at <@ '[now,)'::tstzrange":                                "'[now,)'",
		"SELECT id FROM product WHERE name = 'buy now'":                                         "",
		"SELECT id, date_trunc('day', now()) FROM product":                                      "now()",
		"SELECT id, to_timestamp(id), make_date(id, 1, 1), justify_hours(at - at) FROM product": "",
		"SELECT id, to_date(name, 'YYYY') FROM product":                                         "",
		"SELECT id, name COLLATE \"C\", (data -> 'a')::int, price::text, at::text FROM product": "",
		"SELECT id, random() FROM product":                                                      "random()",
		"SELECT id FROM product ORDER BY random()":                                              "random()",
		"SELECT id, gen_random_uuid() FROM product":                                             "gen_random_uuid()",
		"SELECT id, clock_timestamp() FROM product":                                             "clock_timestamp()",
		`SELECT id, statement_timestamp() FROM product`:                                         "statement_timestamp()",
		"SELECT last_value AS id FROM ticket":                                                   "sequence ticket",
		`SELECT id, pg_sequence_last_value('ticket') FROM product`:                              "pg_sequence_last_value()",
		`SELECT last_value AS id FROM pg_sequences`:                                             "pg_sequence_last_value()",
		`SELECT relid AS id, n_live_tup FROM pg_stat_user_tables`:                               "pg_stat_get_live_tuples()",
		`SELECT pid AS id FROM pg_stat_activity`:                                                "pg_stat_get_activity()",
		`SELECT oid AS id FROM pg_class`:                                                        "system table pg_class",
		"SELECT id, current_setting('x.y', true) FROM product":                                  "current_setting()",
		"SELECT id, pg_backend_pid() FROM product":                                              "pg_backend_pid()",
		"SELECT id, inet_client_addr() FROM product":                                            "inet_client_addr()",
		"SELECT id, pg_relation_size('product') FROM product":                                   "pg_relation_size()",
		`SELECT id, unmarked(id) FROM product`:                                                  "unmarked(integer), which is declared VOLATILE",
		`SELECT id, clock_in(id) FROM product`:                                                  "now() (in function clock_in(integer))",
		`SELECT id, clock_deep(id) FROM product`:                                                "now() (in function clock_in(integer))",
		`SELECT id, literal_() FROM product`:                                                    "'today' (in function literal_())",
		`SELECT id, viewed(id) FROM product`:                                                    "now() (in view fresh)",
		"SELECT id, builds('product') FROM product":                                             "EXECUTE of a text",
		`SELECT 1 AS id, odd_sum(id) FROM product`: "now() (in " +
			"function step(integer,integer))",
		"SELECT id FROM product WHERE id <~> 4":                                        "now()",
		"SELECT id FROM product TABLESAMPLE system (10)":                               "TABLESAMPLE",
		"SELECT id FROM (SELECT id, now() AS n FROM product) x WHERE n > '2024-01-01'": "now()",

		"SELECT id, name FROM product":                  "",
		"SELECT * FROM plain":                           "",
		"SELECT * FROM frozen":                          "",
		"SELECT * FROM kept":                            "",
		"SELECT id, age(at, '2024-01-01') FROM product": "",
		`SELECT id, date_trunc('day', at), at::date, at + interval '1 day' FROM product`:                               "",
		`SELECT id, to_char(at, 'YYYY'), extract(epoch FROM at) FROM product`:                                          "",
		`SELECT id, (date_trunc('day', at))::date, day::timestamptz FROM product`:                                      "",
		`SELECT id, (at AT TIME ZONE 'UTC')::date FROM product`:                                                        "",
		`SELECT id, day - date '2024-01-01' FROM product`:                                                              "",
		`SELECT id, simple(id), atomic(id), pl(id), outer_(id), loops() FROM product`:                                  "",
		`SELECT id, trusted() FROM product`:                                                                            "",
		`SELECT id, row_to_json(p), to_jsonb(p), jsonb_build_object('a', 1) FROM product p`:                            "",
		`SELECT supplier_id AS id, json_agg(p ORDER BY p.name, p.id), string_agg(name, ',') FROM product p GROUP BY 1`: "",
		`SELECT id, format('%s', name), concat(name, id), upper(name), left(name, 2) FROM product`:                     "",
		`SELECT id, min(at)::date FROM product GROUP BY id`:                                                            "",
		`SELECT id, coalesce(day, '2024-01-01')::timestamptz FROM product`:                                             "",
		`SELECT id, to_tsvector('english', name) @@ plainto_tsquery('x') FROM product`:                                 "",
		`SELECT i AS id FROM generate_series(1, 3) i`:                                                                  "",
		`SELECT id, count(*) OVER (), rank() OVER (ORDER BY at) FROM product`:                                          "",
		// it may be read as a time
		`SELECT id, 'now' AS word, name = 'x' FROM product WHERE name <> 'now then'`: "'now'",
		`SELECT id, current_user, session_user, version() FROM product`:              "",
		`SELECT "Id" AS id, "Now" FROM "Odd Name"`:                                   "",
		`SELECT id AS now, id FROM product -- now()`:                                 "",
	} {
		got := strings.Join(factsOf(t, a, newJob(t, query, "k:{id}")).Unsteady, "; ")
		if want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%s: got %q, want %q", query, got, want)
		}
	}
}

// What a READ ONLY transaction refuses is found before a run meets it.
func TestRefused(t *testing.T) {
	a, _ := newAnalyst(t, shop...)
	for query, want := range map[string]string{
		"SELECT id FROM product FOR UPDATE":                       "SELECT FOR UPDATE or FOR SHARE",
		"SELECT id FROM product FOR SHARE":                        "SELECT FOR UPDATE or FOR SHARE",
		"SELECT id FROM product FOR NO KEY UPDATE SKIP LOCKED":    "SELECT FOR UPDATE or FOR SHARE",
		"SELECT id FROM (SELECT id FROM product FOR KEY SHARE) x": "SELECT FOR UPDATE or FOR SHARE",
		"SELECT nextval('ticket') AS id":                          "nextval()",
		"SELECT setval('ticket', 4) AS id":                        "setval()",
		"SELECT id, writes(id) FROM product":                      "function writes(integer), which contains INSERT",
		"SELECT id, writes_deep(id) FROM product":                 "function writes(integer), which contains INSERT",
		"SELECT id, updates() FROM product":                       "function updates(), which contains UPDATE",
		"SELECT id, numbers() FROM product":                       "nextval() (in function numbers())",
		"SELECT id, locks() FROM product":                         "function locks(), which contains SELECT FOR UPDATE",
		"SELECT id, dynamic() FROM product":                       "function dynamic(), which contains DELETE",
		"SELECT id, loops() FROM product":                         "",
		"SELECT id, pl(id), unmarked(id) FROM product":            "",
		"SELECT id FROM nested":                                   "",
		"SELECT id, 'INSERT INTO x' AS update FROM product":       "",
	} {
		got := strings.Join(factsOf(t, a, newJob(t, query, "k:{id}")).Refused, "; ")
		if got != want {
			t.Errorf("%s: got %q, want %q", query, got, want)
		}
	}
}

// Row-level security that hides rows from the role that asks is named; through a view it is the view's owner who
// reads.
func TestFiltered(t *testing.T) {
	_, admin := newAnalyst(t, append(shop, `CREATE ROLE warm LOGIN PASSWORD 'x'; CREATE ROLE owner_ LOGIN;
		GRANT SELECT ON ALL TABLES IN SCHEMA public TO warm, owner_; GRANT CREATE ON SCHEMA public TO owner_;
		ALTER TABLE product ENABLE ROW LEVEL SECURITY; ALTER TABLE event ENABLE ROW LEVEL SECURITY;
		CREATE POLICY p ON product USING (supplier_id = current_setting('app.tenant', true)::int);
		SET ROLE owner_; CREATE VIEW mine AS SELECT id FROM product; RESET ROLE; GRANT SELECT ON mine TO warm`)...)
	u, err := url.Parse(admin)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword("warm", "x")
	for asker, wants := range map[string]map[string]string{
		admin: {"SELECT id FROM product": "", "SELECT id FROM mine": "product", "SELECT id FROM plain": ""},
		u.String(): {"SELECT id FROM product": "product", "SELECT id FROM supplier": "", "SELECT id FROM plain": "",
			"SELECT id FROM mine": "product", "SELECT id FROM event": "event",
			"SELECT id FROM supplier WHERE id IN (SELECT supplier_id FROM product)": "product"},
	} {
		a := analystOf(t, asker)
		for query, want := range wants {
			facts := factsOf(t, a, newJob(t, query, "k:{id}"))
			if got := strings.Join(facts.Filtered, " "); got != want {
				t.Errorf("%s: got %q, want %q", query, got, want)
			}
		}
	}
	facts := factsOf(t, analystOf(t, u.String()), newJob(t, "SELECT id FROM product", "k:{id}"))
	if got := strings.Join(facts.Unsteady, "; "); got != "current_setting()" {
		t.Errorf("a policy that reads a setting: got %q", got)
	}
}

// Facts are kept while nothing is committed, and learned anew when something is.
func TestFactsFollowTheCatalog(t *testing.T) {
	a, pg := newAnalyst(t, shop...)
	job := newJob(t, "SELECT id FROM plain", "k:{id}")
	if first := factsOf(t, a, job); first != factsOf(t, a, job) || len(first.Unsteady) > 0 {
		t.Errorf("facts were learned twice, or wrongly: %q", first.Unsteady)
	}
	storetest.Exec(t, pg, "CREATE OR REPLACE VIEW plain AS SELECT p.id, p.name FROM product p WHERE at < now()")
	if got := strings.Join(factsOf(t, a, job).Unsteady, "; "); got != "now() (in view plain)" {
		t.Errorf("after the view was replaced: %q", got)
	}
}
