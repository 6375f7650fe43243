package worker

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/cache"
	"github.com/stokerhq/stoker/store/storetest"
)

// Rows of a rows job whose keys are equal by their column's own equality are of one key: the smallest of their
// texts. Broken by: a group cut where the text changes, a run that fails, a key that depends on the order of
// equal rows, a key of another text that a refresh leaves.
func TestRowsAreGroupedAsTheDatabaseOrdersThem(t *testing.T) {
	t.Parallel()
	const citext = "CREATE EXTENSION citext"
	for name, tc := range map[string]struct {
		setup, typ string
		values     []string // of equal rows; the smallest text is the key
		other      string
		smaller    string // a value with a smaller text still
	}{
		"citext":   {citext, "citext", []string{"Books", "books", "Books"}, "toys", "BOOKS"},
		"numeric":  {"", "numeric", []string{"1.50", "1.5000", "1.50"}, "2", "1.5"},
		"interval": {"", "interval", []string{"24:00:00", "1 day", "24:00:00"}, "1 year", ""},
		"float":    {"", "float8", []string{"0", "-0", "0"}, "1", ""},
		"bpchar":   {"", "bpchar", []string{"ab ", "ab  ", "ab "}, "b", "ab"},
		"jsonb":    {"", "jsonb", []string{"[1.0]", "[1.00]", "[1.0]"}, "[2]", "[1]"},
		"collation": {"CREATE COLLATION loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false)",
			"text COLLATE loose", []string{"zoe", "Zoe", "zoe"}, "zz", "ZOE"},
	} {
		for _, order := range []string{"k, n", "k, n DESC"} {
			t.Run(name+"/"+order, func(t *testing.T) {
				t.Parallel()
				sql := []string{fmt.Sprintf("CREATE TABLE t (k %s, n int)", tc.typ)}
				if tc.setup != "" {
					sql = append([]string{tc.setup}, sql...)
				}
				for n, v := range tc.values {
					sql = append(sql, fmt.Sprintf("INSERT INTO t VALUES ('%s', %d)", v, n+1))
				}
				sql = append(sql, fmt.Sprintf("INSERT INTO t VALUES ('%s', 9)", tc.other))
				j := newJob("j", jobs.ValueRows, "c:{k}", "SELECT k, n FROM t ORDER BY "+order)
				r := newRig(t, plan{sql: sql, jobs: []*jobs.Job{j}})
				rec := r.run("j")
				want := r.groups()
				if d := differ(want, r.texts()); d != "" || rec.Keys != 2 || rec.Warning != "" {
					t.Fatalf("%s %+v", d, rec)
				}
				if !maps.Equal(r.texts(), want) {
					t.Error(r.texts(), want)
				}
				step := func(what, asked string, sql string) {
					t.Helper()
					storetest.Exec(t, r.pg, sql)
					if err := r.w.RefreshFenced(t.Context(), j, keysOfValues(asked)); err != nil {
						t.Fatal(what, err)
					}
					if d := differ(r.groups(), r.texts()); d != "" {
						t.Errorf("%s: %s", what, d)
					}
				}
				step("changed", tc.values[0], "UPDATE t SET n = 4 WHERE n = 3")
				if tc.smaller != "" {
					step("a smaller text comes", tc.smaller, fmt.Sprintf("INSERT INTO t VALUES ('%s', 5)", tc.smaller))
					step("and goes", tc.smaller, "DELETE FROM t WHERE n = 5")
				}
				step("one is gone", tc.values[1], "DELETE FROM t WHERE n = 2")
				step("all are gone", tc.values[0], "DELETE FROM t WHERE n <> 9")
			})
		}
	}
}

// groups is what the query of job j, whose rows are in table t, has to give.
func (r *rig) groups() map[string]string {
	return r.want(fmt.Sprintf(`SELECT 'c:' || min(key COLLATE "C"), '[' || string_agg(line, ',' ORDER BY at) || ']' FROM (
		SELECT to_json(k) #>> '{}' AS key, row_to_json(q)::text AS line, row_number() OVER () AS at, k FROM (%s) q) q GROUP BY k`,
		r.spec.Jobs[0].Query))
}

// A key whose rows do not follow one another costs that key, not the job: its value would not be whole. Broken
// by: a run that fails, a part of a value that stays, a key that is not named, one that never comes again.
func TestKeyThatComesBackCostsThatKey(t *testing.T) {
	t.Parallel()
	for name, query := range map[string]string{
		"text": "SELECT k, n FROM t ORDER BY at", "citext": "SELECT k::citext AS k, n FROM t ORDER BY at",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			j := newJob("j", jobs.ValueRows, "c:{k}", query)
			r := newRig(t, plan{jobs: []*jobs.Job{j}, sql: []string{"CREATE EXTENSION citext",
				"CREATE TABLE t (k text, n int, at int)",
				"INSERT INTO t SELECT 'k' || g / 2, g, g FROM generate_series(2, 801) g",
				"INSERT INTO t VALUES ('k1', 1, 900)"}})
			const warning = "job j: key c:k1 comes back after other keys: the rows of one key must follow one " +
				"another " +
				"(ORDER BY the key columns first); it was removed"
			for n := range 3 {
				rec, err := r.w.Run(t.Context(), "id", jobs.Run{Job: "j", Cause: jobs.CauseCommand}, nil)
				if err != nil || rec.State != store.StateOK || rec.Returned != 1 || rec.Warning != warning {
					t.Fatalf("run %d: %+v, %v", n, rec, err)
				}
				if _, there := r.texts()["c:k1"]; there || len(r.texts()) != 399 {
					t.Errorf("run %d: %d keys", n, len(r.texts()))
				}
			}
			storetest.Exec(t, r.pg, "UPDATE t SET at = 2 WHERE n = 1")
			rec := r.run("j")
			if rec.Returned != 0 || rec.Warning != "" || len(r.texts()) != 400 ||
				!strings.HasPrefix(r.texts()["c:k1"], `[{"k":"k1","n":`) {
				t.Errorf("mended: %+v, %s", rec, r.texts()["c:k1"])
			}
		})
	}
}

// A job that has one row a key: a second row of a key is counted and named, and the first one is in Redis, also
// where they are far apart. Broken by: a second row that is not counted, or wins; a value that depends on which
// batch is written first.
func TestTwoRowsOfOneKey(t *testing.T) {
	t.Parallel()
	const warning = "key p:7 has more than one row, and holds the first of them: have the key template tell the rows " +
		"apart, select one row a key (DISTINCT ON), or set value: rows"
	for name, tc := range map[string]struct {
		key, query string
		duplicates int64
	}{
		"side by side": {"p:{id}", "SELECT id, n FROM (SELECT 1 AS n, id FROM generate_series(1, 9) id UNION ALL " +
			"SELECT 2, 7 UNION ALL SELECT 3, 7) q ORDER BY id, n", 2},
		"far apart": {"p:{id}", "SELECT id, 1 AS n FROM generate_series(1, 5000) id UNION ALL SELECT 7, 2 " +
			"UNION ALL SELECT 9, 2", 2},
		"of two columns": {"p:{a}{b}", "SELECT '' AS a, '7' AS b, 1 AS n UNION ALL SELECT '7', '', 2", 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			j := newJob("j", jobs.ValueRow, tc.key, tc.query)
			r := newRig(t, plan{jobs: []*jobs.Job{j}})
			for range 3 {
				rec, err := r.w.Run(t.Context(), "id", jobs.Run{Job: "j", Cause: jobs.CauseCommand}, nil)
				if err != nil || rec.Duplicates != tc.duplicates || rec.Warning != warning {
					t.Errorf("%+v, %v", rec, err)
				}
				if got := r.texts()["p:7"]; !strings.HasSuffix(got, `"n":1}`) {
					t.Errorf("p:7 is %s", got)
				}
			}
			if !strings.Contains(r.logs.String(), "key p:7 has more than one row") {
				t.Error("the log does not name the key")
			}
		})
	}
	r := newRig(t, plan{jobs: []*jobs.Job{newJob("one", jobs.ValueRow, "one",
		"SELECT n FROM generate_series(1, 3) n")}})
	rec, err := r.w.Run(t.Context(), "id", jobs.Run{Job: "one", Cause: jobs.CauseCommand}, nil)
	if err != nil || rec.Duplicates != 2 || r.texts()["one"] != `{"n":1}` {
		t.Errorf("%+v, %v, %v", rec, err, r.texts())
	}
}

// The fence of a change reaches the key of the group that its row is in, whatever that row's own text is. Broken by:
// a value that stays for its whole TTL while refreshes fail.
func TestFenceReachesTheKeyOfTheGroup(t *testing.T) {
	t.Parallel()
	j := newJob("j", jobs.ValueRows, "c:{k}", "SELECT k, n FROM t ORDER BY k, n")
	r := newRig(t, plan{jobs: []*jobs.Job{j}, sql: []string{"CREATE EXTENSION citext",
		"CREATE TABLE t (k citext, n int)",
		"INSERT INTO t VALUES ('Books', 1), ('books', 2), ('toys', 3)"}})
	r.run("j")
	if err := (Exact{r.w}).Fence(t.Context(), j, keysOfValues("books")); err != nil {
		t.Fatal(err)
	}
	if ttl := r.redis.PTTL(t.Context(), "c:Books").Val(); ttl <= 0 || ttl > j.StaleGrace {
		t.Errorf("c:Books has %s left", ttl)
	}
	if ttl := r.redis.PTTL(t.Context(), "c:toys").Val(); ttl <= j.StaleGrace {
		t.Errorf("c:toys has %s left", ttl)
	}
}

// A key that came back in the last run is not written again before it is known that it does not: its value would be
// there for a while, and not whole. Broken by: a key that each run writes and removes.
func TestKeyThatCameBackIsHeldBack(t *testing.T) {
	t.Parallel()
	j := newJob("j", jobs.ValueRows, "c:{k}", "SELECT k, n FROM t ORDER BY at")
	r := newRig(t, plan{jobs: []*jobs.Job{j}, sql: []string{"CREATE TABLE t (k int, n int, at int)",
		"INSERT INTO t SELECT g, g, g FROM generate_series(1, 10) g", "INSERT INTO t VALUES (3, 0, 20)"}})
	wrote := 0
	put := r.w.calls.put
	r.w.calls.put = func(ctx context.Context, c *cache.Claim, b *store.Batch) (cache.Outcome, error) {
		for i := range b.Len() {
			if e := b.Entry(i); string(e.Key) == "c:3" && e.Op != store.Remove {
				wrote++
			}
		}
		return put(ctx, c, b)
	}
	for n, want := range []int{1, 1, 1} {
		if r.run("j"); wrote != want {
			t.Errorf("run %d: c:3 was written %d times, want %d", n, wrote, want)
		}
	}
	storetest.Exec(t, r.pg, "DELETE FROM t WHERE n = 0")
	if r.run("j"); wrote != 2 || r.texts()["c:3"] != `[{"k":3,"n":3}]` {
		t.Errorf("mended: %d, %v", wrote, r.texts())
	}
}
