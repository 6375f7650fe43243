package discover

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Conditions that a reader's value decides are told from all others. Broken by: an OR that is split, BETWEEN whose AND
// ends a condition, a cast that hides a parameter, NOT that is passed over.
func TestEqualities(t *testing.T) {
	for condition, want := range map[string]string{
		`id = $1`:                              "id:$1",
		`$1 = id`:                              "id:$1",
		`(("t"."id" = $1))`:                    `"t"."id":$1`,
		`id = $1::int`:                         "id:$1",
		`id = ($1)::int`:                       "id:$1",
		`id = $1::numeric(10,2)::text`:         "id:$1",
		`id = CAST($1 AS character varying)`:   "id:$1",
		`id::text = $1`:                        "id::text:$1",
		`id = ANY($1)`:                         "id:$1[]",
		`id = ANY ($1::int[])`:                 "id:$1[]",
		`id = ANY(ARRAY[$1, $2]::int[])`:       "id:$1+$2",
		`id IN ($1)`:                           "id:$1",
		`id IN ($1, $2, $3)`:                   "id:$1+$2+$3",
		`id IN ($1 /*, ... */)`:                "id:$1",
		`(a, b) = ($1, $2)`:                    "a:$1 b:$2",
		`lower(mail) = lower($1)`:              "lower(mail):$1",
		`lower(mail) = $1`:                     "lower(mail):$1",
		`data->>'id' = $1`:                     "data->>'id':$1",
		`id <> $1`:                             "-",
		`id >= $1`:                             "-",
		`NOT id = $1`:                          "-",
		`id NOT IN ($1)`:                       "-",
		`id IS NOT DISTINCT FROM $1`:           "-",
		`id = $1 OR id = $2`:                   "-",
		`a = b = $1`:                           "-",
		`id = $1 + $2`:                         "-",
		`id + $1 = $2`:                         "-",
		`lower(mail) = upper($1)`:              "-",
		`id = (SELECT max(id) FROM t)`:         "-",
		`(SELECT id FROM t) = $1`:              "-",
		`id IN (SELECT x FROM t WHERE y = $1)`: "-",
		`id BETWEEN $1 AND $2`:                 "-",
		`name ILIKE $1`:                        "-",
		`tags @> $1`:                           "-",
		`id =ANY(NULL)`:                        "-",
		`= $1`:                                 "-",
		`id =`:                                 "-",
		``:                                     "-",
	} {
		list, ok := equalities(condition)
		var got []string
		for _, e := range list {
			text := e.expr + ":" + strings.Join(append([]string{e.param}, e.more...), "+")
			if e.array {
				text += "[]"
			}
			got = append(got, text)
		}
		if !ok {
			got = []string{"-"}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %s, want %s", condition, got, want)
		}
	}
}

func TestConjuncts(t *testing.T) {
	for condition, want := range map[string][]string{
		`a = 1 AND b = 2`:                    {"a = 1", "b = 2"},
		`((a = 1) AND (b = 2 OR c = 3))`:     {"a = 1", "b = 2 OR c = 3"},
		`a BETWEEN 1 AND 2 AND b = 3`:        {"a BETWEEN 1 AND 2", "b = 3"},
		`a = 1 AND b = 2 OR c = 3`:           {"a = 1 AND b = 2 OR c = 3"},
		`CASE WHEN a AND b THEN c END AND d`: {"CASE WHEN a AND b THEN c END", "d"},
		`(a = 1) AND (b = 2)`:                {"(a = 1)", "(b = 2)"},
		`a = ' AND ' AND "AND" = 1`:          {"a = ' AND '", `"AND" = 1`},
	} {
		got := conjuncts(condition)
		for i := range got {
			got[i] = strings.TrimSpace(got[i])
		}
		for i := range want {
			want[i] = strings.TrimSuffix(strings.TrimPrefix(want[i], "("), ")")
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s: %s", condition, d)
		}
	}
}

// A SELECT is taken apart at its own keywords only. Broken by: a FROM of EXTRACT, ORDER BY in an aggregate, a
// column named as a keyword.
func TestDissect(t *testing.T) {
	q, why := dissect(`WITH w AS (SELECT 1 FROM x WHERE y) SELECT DISTINCT extract(year FROM t.d) AS "from", t.order, ` +
		`string_agg(n, ',' ORDER BY n) FILTER (WHERE n > 0) FROM t JOIN w ON w.a IS DISTINCT FROM t.a WHERE t.a = $1 ` +
		`GROUP BY 1, 2 HAVING count(*) > 1 ORDER BY 2 DESC LIMIT 5 OFFSET 0`)
	if why != "" {
		t.Fatal(why)
	}
	want := `WITH w AS (SELECT 1 FROM x WHERE y)|extract(year FROM t.d) AS "from", t.order, string_agg(n, ',' ORDER BY n)` +
		` FILTER (WHERE n > 0)|t JOIN w ON w.a IS DISTINCT FROM t.a|[t.a = $1]|1, 2|count(*) > 1|2 DESC|5|`
	got := fmt.Sprintf("%s|%s|%s|%s|%s|%s|%s|%s|%s", q.with, q.list, q.from, q.where, q.group, q.having, q.order,
		q.limit, q.offset)
	if d := cmp.Diff(want, got); d != "" || !q.distinct {
		t.Error(d)
	}
	for sql, reason := range map[string]string{
		"SELECT 1 FROM a UNION SELECT 2 FROM b": "several SELECTs",
		"SELECT a INTO b FROM c":                "writes",
		"SELECT a FROM b FOR NO KEY UPDATE":     "locks rows",
		"VALUES (1)":                            "not a SELECT",
		"(SELECT 1)":                            "not a SELECT",
		"":                                      "not a SELECT",
		"SELECT DISTINCT ON (a) a FROM b":       "DISTINCT ON",
	} {
		if _, why := dissect(sql); !strings.Contains(why, reason) {
			t.Errorf("%s: %q, want %q", sql, why, reason)
		}
	}
}

// The constants of a statement are read off what a session has sent. Broken by: a negative number that is two tokens,
// another statement that is taken for this one, a bound parameter that is taken for a constant.
func TestAlign(t *testing.T) {
	for _, c := range []struct{ normal, sampled, want string }{
		{"SELECT a FROM t WHERE b = $1 LIMIT $2", "select a from t /* x */ where b = 'it''s' limit 10",
			"map[$1:'it''s' $2:10] map[] true"},
		{"SELECT a FROM t WHERE b = $1 AND c = $2", "SELECT a FROM t WHERE b = $1 AND c = true",
			"map[$2:true] map[$1:true] true"},
		{"SELECT $1, $2, $3", "SELECT -5, 1.5, E'\\n'", "map[$1:-5 $2:1.5 $3:E'\\n'] map[] true"},
		{"SELECT a - interval $1", "SELECT a - interval '1 day'", "map[$1:'1 day'] map[] true"},
		{"SELECT a FROM t WHERE b = $1", "SELECT a FROM t WHERE c = 1", "false"},
		{"SELECT a FROM t WHERE b = $1", "SELECT a FROM t WHERE b = c", "false"},
		{"SELECT a FROM t", "SELECT a FROM t LIMIT 1", "false"},
		{"SELECT a FROM t LIMIT $1", "SELECT a FROM t LIMIT", "false"},
	} {
		values, ok := align(c.normal, c.sampled)
		got := fmt.Sprint(values.values, values.bound, ok)
		if !ok {
			got = "false"
		}
		if got != c.want {
			t.Errorf("%s: %s, want %s", c.sampled, got, c.want)
		}
	}
}

// Nothing that a database may hold as the text of a statement brings the scanner down.
func FuzzDissect(f *testing.F) {
	for _, s := range []string{"SELECT a FROM t WHERE b = $1", "select ((( from where", "SELECT \"", "SELECT $1::",
		"SELECT a FROM t WHERE x IN (", "SELECT a FROM t WHERE (a,b) = ($1", "SELECT a FROM t WHERE id = ANY(ARRAY["} {
		f.Add(s)
	}
	d := &discovery{report: &Report{}, reserved: map[string]bool{}}
	f.Fuzz(func(_ *testing.T, sql string) {
		normal := plain(sql)
		if s, why := d.newSet(normal, 1); why == "" {
			s.name(d)
			s.query(d, true)
		}
		align(normal, plain(sql))
		dependsOnTime(normal)
		Brief(sql)
	})
}
