package discover

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/stokerhq/stoker/store/storetest"
)

const shopSQL = `
CREATE EXTENSION IF NOT EXISTS pg_stat_statements;
CREATE TABLE product (id int PRIMARY KEY, name text NOT NULL, shelf int, price numeric(10,2), active boolean);
INSERT INTO product SELECT i, 'p' || i, i % 20, i, i % 3 > 0 FROM generate_series(1, 500) i;
CREATE TABLE secret (id int PRIMARY KEY, token text);
INSERT INTO secret VALUES (1, 'x');
CREATE FUNCTION pgp_open(text, text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT $1';
ANALYZE;
SELECT pg_stat_statements_reset()`

// callOften runs each statement often, on a connection of its own, by the simple protocol if it has no parameters.
// Where keep is not set, the connection is closed, and its session gone: nobody sees what it has sent.
func callOften(t *testing.T, url string, keep bool, statements ...string) {
	t.Helper()
	for _, sql := range statements {
		conn, err := pgx.Connect(t.Context(), url)
		if err != nil {
			t.Fatal(err)
		}
		for range 20 {
			params := make([][]byte, len(parameters(sql)))
			for i := range params {
				params[i] = []byte("1")
			}
			if len(params) == 0 {
				err = conn.PgConn().Exec(t.Context(), sql).Close()
			} else {
				err = conn.PgConn().ExecParams(t.Context(), sql, params, nil, nil, nil).Read().Err
			}
			if err != nil && !strings.Contains(sql, "42P01") {
				t.Fatalf("%s: %v", sql, err)
			}
		}
		if keep {
			t.Cleanup(func() { conn.Close(context.Background()) })
		} else if err := conn.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if keep {
		return
	}
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	storetest.Eventually(t, 10*time.Second, "the sessions are gone", func() bool {
		var n int
		err := conn.QueryRow(t.Context(), `SELECT count(*) FROM pg_stat_activity
			WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()`).Scan(&n)
		if err != nil {
			t.Fatal(err)
		}
		return n == 0
	})
}

// verdicts are what became of each statement, on one line.
func verdicts(r *Report) string {
	var list []string
	for _, f := range r.Found {
		list = append(list, fmt.Sprintf("%s %s: %s", f.Key, f.Value, plain(f.Query)))
	}
	for _, l := range r.Left {
		list = append(list, "left: "+l.Query+" -> "+l.Reason)
	}
	return strings.Join(list, "\n")
}

// trap is a set of statements, and what is to be in the verdicts on them.
type trap struct {
	name string
	keep bool // the sessions that sent them stay
	sql  []string
	want []string
	not  []string
}

var traps = []trap{
	{"an N+1, by hand", true, []string{"SELECT id, name FROM product WHERE id = 5",
		"SELECT id, name FROM product WHERE id = 6", "SELECT id, name FROM product WHERE id IN (1, 2)",
		"SELECT name, id FROM product WHERE id IN (1, 2, 3)"},
		[]string{"product:{id} row: SELECT "}, []string{"product-2"}},
	{"a constant that is bound beside", true,
		[]string{"SELECT id, coalesce(shelf, 7) AS shelf FROM product WHERE active = true AND id = $1"},
		[]string{"product:{id} row: SELECT id, coalesce(shelf, 7) AS shelf FROM product WHERE active = true"}, nil},
	{"the same, unseen", false,
		[]string{"SELECT id, coalesce(shelf, 7) AS shelf FROM product WHERE active = true AND id = $1"},
		[]string{"left: ", "the SELECT list has a value"}, []string{"product:"}},
	{"a filter that may be a value", false, []string{"SELECT name FROM product WHERE active = true AND id = $1"},
		[]string{"{active}", "{id}"}, nil},
	{"a LIMIT, unseen, that is always full", false,
		[]string{"SELECT id, name FROM product WHERE shelf = $1 ORDER BY id LIMIT 4"},
		[]string{"stoker_rank <= 4"}, nil},
	{"a LIMIT that is never full", false,
		[]string{"SELECT id, name FROM product WHERE name = 'p7' ORDER BY id DESC LIMIT 40",
			"SELECT id, name FROM product WHERE name = 'none' ORDER BY id DESC LIMIT 40"},
		[]string{"its LIMIT is not known"}, nil},
	{"a LIMIT that does not matter", false, []string{"SELECT name FROM product WHERE id = 700 LIMIT 21"},
		[]string{"product:{id} row: SELECT name, id FROM product"}, nil},
	{"a secret in a constant", true, []string{"SELECT id, pgp_open(token, 'hush-hush') FROM secret WHERE id = $1",
		"SELECT id, md5(token || 'hush-hush') AS m FROM secret WHERE id = $1"},
		[]string{"cryptography"}, []string{"hush-hush", "secret:"}},
	{"what is no read", false, []string{"UPDATE product SET shelf = shelf WHERE id = $1",
		"SELECT id FROM product WHERE id = $1 FOR SHARE", "SELECT id, random() AS r FROM product WHERE id = $1",
		"SELECT id FROM product WHERE price > $1", "SELECT relname FROM pg_class WHERE oid = $1"},
		[]string{"it writes (UPDATE)", "locks", "random", "price > $1"}, []string{"pg_class"}},
	{"a rank over all", false,
		[]string{"SELECT id, rank() OVER (ORDER BY price) AS r FROM product WHERE shelf = $1"},
		[]string{"window function"}, nil},
	{"several conditions on one value", false,
		[]string{"SELECT p.id, s.token FROM product p JOIN secret s ON s.id = p.id WHERE p.id = $1 AND s.id = $1"},
		[]string{"product-secret:{id} row", "s.id = p.id"}, nil},
}

// The traps of normalised statements, on each version of Postgres. Broken by: a constant that is guessed, a LIMIT that
// is dropped, a secret that is shown, a list of values that makes a job for each of its lengths.
func TestTraps(t *testing.T) {
	for _, version := range storetest.Versions {
		t.Run(fmt.Sprint(version), func(t *testing.T) {
			server := storetest.OwnPostgresOf(t, version, "shared_preload_libraries = 'pg_stat_statements'")
			for _, c := range traps {
				name := strings.Map(func(r rune) rune {
					if r >= 'a' && r <= 'z' {
						return r
					}
					return -1
				}, c.name)
				storetest.Exec(t, server.URL("postgres"), "CREATE DATABASE "+name)
				url := server.URL(name)
				storetest.Exec(t, url, strings.Split(shopSQL, ";\n")...)
				callOften(t, url, c.keep, c.sql...)
				r := run(t, url, func(cfg *Config) { cfg.Watch = 300 * time.Millisecond })
				got := verdicts(r)
				for _, want := range c.want {
					if !strings.Contains(got, want) {
						t.Errorf("%s: no %q in\n%s", c.name, want, got)
					}
				}
				for _, not := range c.not {
					if strings.Contains(got, not) {
						t.Errorf("%s: %q in\n%s", c.name, not, got)
					}
				}
			}
		})
	}
}

// A role that may read little is told what it lacks, and finds what it may. Broken by: an error in place of a word,
// statements of others that are passed over in silence.
func TestReadOnlyRole(t *testing.T) {
	server := storetest.OwnPostgres(t, "shared_preload_libraries = 'pg_stat_statements'",
		"pg_stat_statements.max = 100")
	url := server.URL("postgres")
	storetest.Exec(t, url, "CREATE SCHEMA extensions", "CREATE EXTENSION pg_stat_statements SCHEMA extensions",
		"SET search_path = public, extensions")
	storetest.Exec(t, url, strings.Split(strings.Replace(shopSQL, "SELECT pg_stat",
		"SELECT extensions.pg_stat", 1), ";\n")...)
	storetest.Exec(t, url, "CREATE ROLE reader LOGIN PASSWORD 'word'", "GRANT SELECT ON product TO reader",
		"GRANT USAGE ON SCHEMA extensions TO reader", "ALTER ROLE reader SET default_transaction_read_only = on")
	own := strings.Replace(url, url[strings.Index(url, "//")+2:strings.Index(url, "@")], "reader:word", 1)
	callOften(t, url, false, "SELECT id, token FROM secret WHERE id = $1")
	callOften(t, own, false, "SELECT id, name FROM product WHERE id = $1")
	r := run(t, own, nil)
	if got := verdicts(r); r.Hidden == 0 || !strings.Contains(got, "product:{id} row") ||
		strings.Contains(got, "secret") {
		t.Errorf("%d hidden\n%s", r.Hidden, got)
	}
	storetest.Exec(t, url, "GRANT pg_read_all_stats TO reader")
	r = run(t, own, nil)
	if got := verdicts(r); r.Hidden != 0 || !strings.Contains(got, "permission denied for table secret") {
		t.Errorf("%d hidden\n%s", r.Hidden, got)
	}
	var many []string
	for i := range 150 {
		many = append(many, "SELECT "+strings.Repeat("id, ", i)+"name FROM product WHERE id = 1")
	}
	storetest.Exec(t, url, many...)
	if r = run(t, own, nil); r.Lost == 0 {
		t.Error("that statements were pushed out is not told")
	}
	storetest.Exec(t, url, "REVOKE USAGE ON SCHEMA extensions FROM reader",
		"REVOKE USAGE ON SCHEMA extensions FROM PUBLIC")
	if r = run(t, own, nil); !strings.Contains(r.Missing, "permission denied for schema extensions") {
		t.Errorf("missing: %q", r.Missing)
	}
}

// An extension whose library is not loaded is told from one that is not there. Broken by: an error.
func TestLibraryNotLoaded(t *testing.T) {
	url := storetest.Postgres(t)
	storetest.Exec(t, url, "CREATE TABLE product (id int PRIMARY KEY, name text)",
		"INSERT INTO product VALUES (1, 'a')")
	if r := run(t, url, nil); !strings.Contains(r.Missing, "CREATE EXTENSION") || len(r.Found) != 1 {
		t.Errorf("%q, %s", r.Missing, verdicts(r))
	}
	storetest.Exec(t, url, "CREATE EXTENSION pg_stat_statements")
	if r := run(t, url, nil); !strings.Contains(r.Missing, "shared_preload_libraries") || len(r.Found) != 1 {
		t.Errorf("%q, %s", r.Missing, verdicts(r))
	}
}
