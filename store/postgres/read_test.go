package postgres_test

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/encode"
	"github.com/stokerhq/stoker/store/postgres"
	"github.com/stokerhq/stoker/store/storetest"
)

const shop = `
CREATE TYPE mood AS ENUM ('sad', 'ok');
CREATE TABLE product (id bigint PRIMARY KEY, name text, price numeric(10,2), feel mood);
INSERT INTO product SELECT i, 'p' || i, i * 1.5, 'ok' FROM generate_series(1, 1000) i;
CREATE TABLE stock (site text, sku char(6), n int, PRIMARY KEY (site, sku));
INSERT INTO stock SELECT s, 'A' || i, i FROM unnest(ARRAY['x','y']) s, generate_series(1, 50) i`

func open(t *testing.T, url string) *postgres.Source {
	t.Helper()
	s, err := postgres.Open(jobs.Postgres{URL: jobs.NewSecret(url), MaxConnections: 2,
		StatementTimeout: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func newShop(t *testing.T) (*postgres.Source, string) {
	t.Helper()
	url := storetest.Postgres(t)
	storetest.Exec(t, url, shop)
	return open(t, url), url
}

func job(t *testing.T, query, key string) *jobs.Job {
	t.Helper()
	k, err := jobs.ParseKeyTemplate(key)
	if err != nil {
		t.Fatal(err)
	}
	return &jobs.Job{Name: "j", Query: query, Key: k, Value: jobs.ValueRow, Timeout: time.Minute}
}

// texts reads a whole reading as JSON objects.
func texts(r *store.Reading) ([]string, error) {
	o, err := encode.JSON.NewObject(r.Columns)
	if err != nil {
		return nil, err
	}
	var out []string
	for row, err := range r.Rows {
		if err != nil {
			return out, err
		}
		b, err := o.AppendRow(nil, row)
		if err != nil {
			return out, err
		}
		out = append(out, string(b))
	}
	return out, nil
}

func run(t *testing.T, s *postgres.Source, j *jobs.Job) ([]string, error) {
	t.Helper()
	var out []string
	err := s.Run(t.Context(), j, func(r *store.Reading) (err error) {
		out, err = texts(r)
		return err
	})
	return out, err
}

func refresh(t *testing.T, s *postgres.Source, j *jobs.Job, keys ...jobs.Key) (rows []string, given []store.Row,
	err error) {
	t.Helper()
	err = s.Refresh(t.Context(), j, keys, func(r *store.Reading) (err error) {
		given = r.Given
		rows, err = texts(r)
		return err
	})
	return rows, given, err
}

func TestRunReadsOneSnapshot(t *testing.T) {
	s, url := newShop(t)
	j := job(t, "SELECT id, name, price, feel FROM product ORDER BY id -- all of it", "product:{id}")
	var snapshot string
	err := s.Run(t.Context(), j, func(r *store.Reading) error {
		snapshot = r.Snapshot.Text
		n := 0
		for row, err := range r.Rows {
			if err != nil {
				return err
			}
			if n++; n == 1 {
				// A change made meanwhile by another session must not be seen.
				storetest.Exec(t, url, "UPDATE product SET name = 'changed'")
			}
			if string(row[1]) == "changed" {
				t.Fatalf("row %d shows a change made after the snapshot", n)
			}
		}
		if n != 1000 {
			t.Errorf("%d rows, want 1000", n)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if parts := strings.Split(snapshot, ":"); len(parts) != 3 {
		t.Errorf("snapshot %q is not xmin:xmax:xip", snapshot)
	}
	rows, err := run(t, s, j)
	if err != nil || len(rows) != 1000 || rows[0] != `{"id":1,"name":"changed","price":1.50,"feel":"ok"}` {
		t.Errorf("second run: %d rows, first %s, %v", len(rows), rows[:min(1, len(rows))], err)
	}
}

func TestRefreshReadsExactlyTheseKeys(t *testing.T) {
	s, _ := newShop(t)
	for name, tc := range map[string]struct {
		query, key string
		keys       []jobs.Key
		want       []string
		given      [][]string
	}{
		"one column": {
			"SELECT id, name FROM product", "product:{id}",
			[]jobs.Key{{"id": "7"}, {"id": " 0012"}, {"id": "5000"}},
			[]string{`{"id":7,"name":"p7"}`, `{"id":12,"name":"p12"}`}, nil,
		},
		"converted column": {
			"SELECT id, feel FROM product", "product:{id}",
			[]jobs.Key{{"id": "7"}},
			[]string{`{"id":7,"feel":"ok"}`}, nil,
		},
		"two columns, one padded": {
			"SELECT site, sku, n FROM stock", "stock:{sku}:{site}",
			[]jobs.Key{{"site": "y", "sku": "A3"}, {"site": "x", "sku": "A50"}, {"site": `"{,}\`, "sku": "A1"}},
			[]string{`{"site":"y","sku":"A3    ","n":3}`, `{"site":"x","sku":"A50   ","n":50}`}, nil,
		},
		"enum key": {
			"SELECT feel, count(*) AS n FROM product GROUP BY feel", "mood:{feel}",
			[]jobs.Key{{"feel": "ok"}, {"feel": "sad"}},
			[]string{`{"feel":"ok","n":1000}`}, nil,
		},
		"constant key": {
			"SELECT count(*) AS n FROM product", "products",
			[]jobs.Key{{}},
			[]string{`{"n":1000}`}, nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, given, err := refresh(t, s, job(t, tc.query, tc.key), tc.keys...)
			if err != nil {
				t.Fatal(err)
			}
			slices.Sort(got)
			want := slices.Sorted(slices.Values(tc.want))
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("rows (-want +got):\n%s", diff)
			}
			if len(given) != len(tc.keys) {
				t.Errorf("%d given keys came back, want %d", len(given), len(tc.keys))
			}
		})
	}
}

func TestRefreshNamesTheValueThatDoesNotFit(t *testing.T) {
	s, _ := newShop(t)
	for name, tc := range map[string]struct {
		query, key string
		keys       []jobs.Key
		want       string
	}{
		"text for a number": {"SELECT id, name FROM product", "p:{id}", []jobs.Key{{"id": "1"}, {"id": "seven"}},
			`job j: value "seven" does not fit key column id of type bigint: invalid input syntax for type bigint: "seven"`},
		"out of range": {"SELECT id, name FROM product", "p:{id}", []jobs.Key{{"id": "99999999999999999999"}},
			`job j: value "99999999999999999999" does not fit key column id of type bigint: value "99999999999999999999" is out of range for type bigint`},
		"enum": {"SELECT feel, 1 AS one FROM product", "m:{feel}", []jobs.Key{{"feel": "happy"}},
			`job j: value "happy" does not fit key column feel of type mood: invalid input value for enum mood: "happy"`},
		"second column": {"SELECT id, price FROM product", "p:{id}:{price}", []jobs.Key{{"id": "1", "price": "cheap"}},
			`job j: value "cheap" does not fit key column price of type numeric(10,2): invalid input syntax for type numeric: "cheap"`},
		"overflow": {"SELECT id, price FROM product", "p:{id}:{price}", []jobs.Key{{"id": "1", "price": "1e9"}},
			`job j: value "1e9" does not fit key column price of type numeric(10,2): numeric field overflow`},
		"sql": {"SELECT id, name FROM product", "p:{id}", []jobs.Key{{"id": "1); DROP TABLE product; --"}},
			`job j: value "1); DROP TABLE product; --" does not fit key column id of type bigint: invalid input syntax for type bigint: "1); DROP TABLE product; --"`},
		"zero byte": {"SELECT id, name FROM product", "p:{name}", []jobs.Key{{"name": "a\x00b"}},
			`job j: value "a\x00b" does not fit key column name of type any: postgres has no text with a zero byte`},
	} {
		t.Run(name, func(t *testing.T) {
			j := job(t, tc.query, tc.key)
			for _, err := range []error{
				func() error { _, _, err := refresh(t, s, j, tc.keys...); return err }(),
				s.Keys(t.Context(), j, tc.keys, nothing),
			} {
				if _, ok := errors.AsType[*store.KeyValueError](err); !ok || err.Error() != tc.want {
					t.Errorf("got  %v\nwant %s", err, tc.want)
				}
				if !store.Permanent(err) {
					t.Error("not permanent")
				}
			}
		})
	}
}

func TestQueryErrorsAreLocated(t *testing.T) {
	s, _ := newShop(t)
	for name, tc := range map[string]struct{ query, want string }{
		"unknown column": {"SELECT id,\n  naam\nFROM product",
			`query of job j: column "naam" does not exist (SQLSTATE 42703) at line 2, column 3 of the query; hint: Perhaps you meant to reference the column "product.name".`},
		"syntax": {"SELEC id FROM product",
			`query of job j: syntax error at or near "SELEC" (SQLSTATE 42601) at line 1, column 1 of the query`},
		"on a row": {"SELECT id, 1 / (id - 500) AS x FROM product ORDER BY id",
			`query of job j: division by zero (SQLSTATE 22012)`},
		"on a row, wrapped": {"SELECT id, feel, 1 / (id - 500) AS x FROM product ORDER BY id",
			`query of job j: division by zero (SQLSTATE 22012)`},
		"a write": {"INSERT INTO product VALUES (0) RETURNING id",
			`query of job j: cannot execute INSERT in a read-only transaction (SQLSTATE 25006)`},
		"no such key": {"SELECT name FROM product",
			`job j: key "product:{id}" names column id, which the query does not return; it returns: name`},
		"key of another case": {`SELECT id AS "Id" FROM product`, `job j: key "product:{id}" names column id, which the query does ` +
			`not return; it returns: Id; upper and lower case count: write it so: {Id}`},
		"twice": {"SELECT id, id FROM product",
			`job j: the query returns two columns named id, which the key names: give them different names with AS`},
		"parameters": {"SELECT id FROM product WHERE id = $1",
			`job j: the query has parameters ($1 ...): a job's query takes none`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := run(t, s, job(t, tc.query, "product:{id}"))
			if err == nil || err.Error() != tc.want {
				t.Errorf("got  %v\nwant %s", err, tc.want)
			}
		})
	}
	// The connections must have survived all that.
	if rows, err := run(t, s, job(t, "SELECT id FROM product", "p:{id}")); err != nil || len(rows) != 1000 {
		t.Errorf("after the errors: %d rows, %v", len(rows), err)
	}
}

func TestSchemaChangesAreMetWithAFreshPlan(t *testing.T) {
	s, url := newShop(t)
	for name, tc := range map[string]struct{ query, before, after string }{
		"plain":     {"SELECT * FROM a", `{"id":1,"n":5}`, `{"id":1,"n":"5","more":true}`},
		"converted": {"SELECT * FROM b", `{"id":1,"n":5,"feel":"ok"}`, `{"id":1,"n":"5","feel":"ok","more":true}`},
	} {
		t.Run(name, func(t *testing.T) {
			table := tc.query[len(tc.query)-1:]
			feel := map[string]string{"a": "", "b": ", 'ok'::mood AS feel"}[table]
			storetest.Exec(t, url, "CREATE TABLE "+table+" AS SELECT 1 AS id, 5 AS n"+feel)
			j := job(t, tc.query, "x:{id}")
			want := func(want string) {
				t.Helper()
				rows, _, err := refresh(t, s, j, jobs.Key{"id": "1"})
				if err != nil || !slices.Equal(rows, []string{want}) {
					t.Errorf("refresh: %v, %v, want %s", rows, err, want)
				}
				if rows, err = run(t, s, j); err != nil || !slices.Equal(rows, []string{want}) {
					t.Errorf("run: %v, %v, want %s", rows, err, want)
				}
			}
			want(tc.before)
			want(tc.before)
			storetest.Exec(t, url, "ALTER TABLE "+table+" ALTER n TYPE text, ADD more bool DEFAULT true")
			want(tc.after)
			storetest.Exec(t, url, "ALTER TABLE "+table+" ADD one_more int")
			want(strings.TrimSuffix(tc.after, "}") + `,"one_more":null}`)
		})
	}
}

func TestEndedContextCancelsTheQuery(t *testing.T) {
	s, url := newShop(t)
	ctx, cancel := context.WithCancel(t.Context())
	j := job(t, "SELECT i AS id, pg_sleep(0.01)::text AS s FROM generate_series(1, 100000) i", "x:{id}")
	err := s.Run(ctx, j, func(r *store.Reading) error {
		for _, err := range r.Rows {
			if err != nil {
				return err
			}
			cancel()
		}
		return nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v, want a cancelled context", err)
	}
	other := open(t, url)
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		rows, err := run(t, other, job(t, "SELECT count(*) AS n FROM pg_stat_activity WHERE query LIKE "+
			"'%pg_sleep(0.01)%' AND pid <> pg_backend_pid() AND state = 'active'", "n"))
		if err != nil {
			t.Fatal(err)
		}
		if rows[0] == `{"n":0}` {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the query is still running 5 s after its context ended")
		}
	}
}

// An early stop by the consumer must not read the rest of a large result.
func TestStoppingEarly(t *testing.T) {
	s, _ := newShop(t)
	enough := errors.New("enough")
	start := time.Now()
	err := s.Run(t.Context(), job(t, "SELECT generate_series(1, 100000000) AS id", "x:{id}"),
		func(r *store.Reading) error {
			for range r.Rows {
				return enough
			}
			return nil
		})
	if !errors.Is(err, enough) || time.Since(start) > 8*time.Second {
		t.Errorf("got %v after %s", err, time.Since(start))
	}
}

func TestStatementTimeoutSaysWhatToDo(t *testing.T) {
	url := storetest.Postgres(t)
	s, err := postgres.Open(jobs.Postgres{URL: jobs.NewSecret(url), MaxConnections: 1,
		StatementTimeout: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	_, err = run(t, s, job(t, "SELECT pg_sleep(20)::text AS x", "x"))
	want := "query of job j: canceling statement due to statement timeout (SQLSTATE 57014); hint: raise " +
		"postgres.statement_timeout, or make the query faster"
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

func TestExplainTellsExpensiveRefreshes(t *testing.T) {
	s, url := newShop(t)
	storetest.Exec(t, url, "INSERT INTO product SELECT i, 'p' || i, 1, 'ok' FROM generate_series(1001, 50000) i",
		"ANALYZE product")
	for name, tc := range map[string]struct {
		query string
		cheap bool
	}{
		"pushed down":     {"SELECT id, name FROM product", true},
		"wrapped":         {"SELECT id, feel FROM product", true},
		"not pushed down": {"SELECT id, name, row_number() OVER (ORDER BY price) AS rank FROM product", false},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := s.Explain(t.Context(), job(t, tc.query, "p:{id}"))
			if err != nil {
				t.Fatal(err)
			}
			if cheap := c.Refresh < c.Run/10; cheap != tc.cheap || c.Rows < 40000 {
				t.Errorf("cost %+v, cheap %v, want %v", c, cheap, tc.cheap)
			}
		})
	}
}

func TestSettingsOfTheRoleDoNotChangeAByte(t *testing.T) {
	s, url := newShop(t)
	storetest.Exec(t, url, "ALTER ROLE stoker IN DATABASE "+url[strings.LastIndex(url, "/")+1:strings.Index(url, "?")]+
		` SET timezone = 'Asia/Tokyo'`,
		"CREATE TYPE times AS (at timestamptz)", `CREATE VIEW v AS SELECT 1 AS id, '2024-02-29 12:00:00+00'::timestamptz AS at, '\xff'::bytea AS b, '1 day 02:00:00'::interval AS i, ARRAY[ROW('2024-02-29 12:00:00+00'::timestamptz)::times] AS r`)
	rows, err := run(t, s, job(t, "SELECT * FROM v", "v:{id}"))
	want := `{"id":1,"at":"2024-02-29T12:00:00+00:00","b":"\\xff","i":"1 day 02:00:00","r":[{"at":"2024-02-29T12:00:00+00:00"}]}`
	if err != nil || rows[0] != want {
		t.Errorf("got  %v, %v\nwant %s", rows, err, want)
	}
}

// A rows job's refresh must keep the order of the query, which is the order in
// the value, whatever the planner thinks of the keys.
func TestRefreshOfSeveralColumnsKeepsTheOrder(t *testing.T) {
	s, url := newShop(t)
	storetest.Exec(t, url, "CREATE DOMAIN code AS text", "CREATE TABLE line (site code, sku varchar(10), n int)",
		"INSERT INTO line SELECT 's' || i % 7, 'k' || i % 11, i FROM generate_series(1, 20000) i",
		"CREATE INDEX ON line (site, sku)", "ANALYZE line")
	j := job(t, "SELECT * FROM line ORDER BY site, sku, n DESC", "line:{site}:{sku}")
	j.Value = jobs.ValueRows
	all, err := run(t, s, j)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{1, 3, 40} {
		var keys []jobs.Key
		var want []string
		for i := range n {
			keys = append(keys, jobs.Key{"site": "s" + strconv.Itoa(i*5%7), "sku": "k" + strconv.Itoa(i*3%11)})
		}
		for _, row := range all {
			for _, k := range keys {
				if strings.HasPrefix(row, `{"site":"`+k["site"]+`","sku":"`+k["sku"]+`",`) {
					want = append(want, row)
				}
			}
		}
		got, _, err := refresh(t, s, j, keys...)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got, want) || len(got) < 200*n {
			t.Errorf("%d keys: %d rows in another order or number than the query's %d", n, len(got), len(want))
		}
	}
}

// A query's literals mean the same in a run and in a refresh, whatever the role's
// own settings are, and 'now' means now. Broken by: a statement that is prepared
// outside the transaction, or kept.
func TestLiteralsMeanTheSameEachTime(t *testing.T) {
	_, url := newShop(t)
	database := url[strings.LastIndex(url, "/")+1 : strings.Index(url, "?")]
	for _, setting := range []string{"timezone = 'America/New_York'", "datestyle = 'SQL, DMY'",
		"intervalstyle = 'iso_8601'"} {
		storetest.Exec(t, url, "ALTER ROLE stoker IN DATABASE "+database+" SET "+setting)
	}
	storetest.Exec(t, url, "CREATE TABLE ev (id int, at timestamptz)",
		"INSERT INTO ev VALUES (1, '2024-01-01 02:00+00')")
	s := open(t, url)
	j := job(t, "SELECT id, at, '2024-03-04'::timestamptz AS lit FROM ev WHERE at >= '2024-01-01' AND "+
		"'now'::timestamptz >= now()", "ev:{id}")
	want := `{"id":1,"at":"2024-01-01T02:00:00+00:00","lit":"2024-03-04T00:00:00+00:00"}`
	for range 2 {
		rows, _, err := refresh(t, s, j, jobs.Key{"id": "1"})
		if err != nil || !slices.Equal(rows, []string{want}) {
			t.Errorf("refresh: %v, %v", rows, err)
		}
		if rows, err = run(t, s, j); err != nil || !slices.Equal(rows, []string{want}) {
			t.Errorf("run: %v, %v", rows, err)
		}
	}
}

// A value that its column would cut or round names another key: it is refused.
func TestValuesThatWouldBeCut(t *testing.T) {
	s, url := newShop(t)
	storetest.Exec(t, url, "CREATE TABLE cut (c char(3), n numeric(5,2), b bit(3), t timestamp(0), v varchar(3))",
		"INSERT INTO cut VALUES ('ab', 1.5, '101', '2024-01-01 00:00:00', 'abc')")
	for _, tc := range []struct{ column, value, want string }{
		{"c", "abcd", "character(3)"}, {"n", "1.504", "numeric(5,2)"}, {"b", "1011", "bit(3)"},
		{"t", "2024-01-01 00:00:00.5", "timestamp(0) without time zone"},
	} {
		j := job(t, "SELECT * FROM cut", "cut:{"+tc.column+"}")
		_, _, err := refresh(t, s, j, jobs.Key{tc.column: tc.value})
		want := `job j: value "` + tc.value + `" does not fit key column ` + tc.column + ` of type ` + tc.want +
			`: the type would cut or round it`
		if err == nil || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
	for column, value := range map[string]string{"c": "ab", "n": "1.5", "b": "101", "t": "2024-01-01", "v": "abc"} {
		if rows, _, err := refresh(t, s, job(t, "SELECT * FROM cut", "cut:{"+column+"}"),
			jobs.Key{column: value}); err != nil || len(rows) != 1 {
			t.Errorf("%s = %s: %v, %v", column, value, rows, err)
		}
	}
}

// A table that is locked keeps a reading waiting, but not for longer than the
// statement timeout: also while the query is only looked at.
func TestStatementTimeoutCoversALockedTable(t *testing.T) {
	url := storetest.Postgres(t)
	storetest.Exec(t, url, "CREATE TABLE locked (id int)")
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if _, err := conn.Exec(t.Context(), "BEGIN; LOCK TABLE locked IN ACCESS EXCLUSIVE MODE"); err != nil {
		t.Fatal(err)
	}
	s, err := postgres.Open(jobs.Postgres{URL: jobs.NewSecret(url), MaxConnections: 1,
		StatementTimeout: 200 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	j := job(t, "SELECT id FROM locked", "l:{id}")
	_, runErr := run(t, s, j)
	for _, err := range []error{runErr, s.Keys(t.Context(), j, []jobs.Key{{"id": "1"}}, nothing)} {
		if q, ok := errors.AsType[*store.QueryError](err); !ok || q.SQLState != "57014" {
			t.Errorf("got %v, want the statement timeout", err)
		}
	}
}

// A column that is renamed, swapped with another or replaced while the plan is
// remembered must never lend its name to another's value.
func TestRefreshNeverMixesUpColumns(t *testing.T) {
	s, url := newShop(t)
	for name, change := range map[string]struct{ ddl, want string }{
		"renamed": {"ALTER TABLE mix RENAME COLUMN cost TO expense", `{"id":1,"expense":5,"price":9}`},
		"swapped": {"DROP TABLE mix; CREATE TABLE mix AS SELECT 1 AS id, 9 AS price, 5 AS cost",
			`{"id":1,"price":9,"cost":5}`},
		"replaced": {"ALTER TABLE mix DROP COLUMN cost; ALTER TABLE mix ADD COLUMN stock int DEFAULT 3",
			`{"id":1,"price":9,"stock":3}`},
		"fewer": {"ALTER TABLE mix DROP COLUMN cost", `{"id":1,"price":9}`},
	} {
		for _, kind := range []jobs.ValueKind{jobs.ValueRow, jobs.ValueRows} {
			t.Run(name+" "+string(kind), func(t *testing.T) {
				storetest.Exec(t, url, "DROP TABLE IF EXISTS mix",
					"CREATE TABLE mix AS SELECT 1 AS id, 5 AS cost, 9 AS price")
				j := job(t, "SELECT * FROM mix", "mix:{id}")
				j.Value = kind
				if rows, err := run(t, s, j); err != nil || rows[0] != `{"id":1,"cost":5,"price":9}` {
					t.Fatal(rows, err)
				}
				storetest.Exec(t, url, strings.Split(change.ddl, "; ")...)
				if rows, _, err := refresh(t, s, j, jobs.Key{"id": "1"}); err != nil ||
					!slices.Equal(rows, []string{change.want}) {
					t.Errorf("refresh: %v, %v, want %s", rows, err, change.want)
				}
			})
		}
	}
}

// Names that are no identifiers, and names that are there twice, are the user's
// right in a refresh too.
func TestRefreshOfOddNames(t *testing.T) {
	s, _ := newShop(t)
	j := job(t, `SELECT id AS "the ""Id""; --", name AS "a b", price AS "a b", 1 FROM product`, `p:{the "Id"; --}`)
	rows, _, err := refresh(t, s, j, jobs.Key{`the "Id"; --`: "3"})
	if want := `{"the \"Id\"; --":3,"a b":"p3","a b":4.50,"?column?":1}`; err != nil ||
		!slices.Equal(rows, []string{want}) {
		t.Errorf("%v, %v, want %s", rows, err, want)
	}
}

func nothing(*store.Reading) error { return nil }
