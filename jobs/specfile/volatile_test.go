package specfile

import (
	"strings"
	"testing"
)

func TestVolatileRead(t *testing.T) {
	for query, want := range map[string]string{
		"SELECT now()":                                  "now()",
		"SELECT NOW ( )":                                "now()",
		"SELECT Now/* when? */()":                       "now()",
		"SELECT pg_catalog.now()":                       "now()",
		"SELECT a FROM t WHERE b>now()-interval '1 h'":  "now()",
		"SELECT clock_timestamp()":                      "clock_timestamp()",
		"SELECT statement_timestamp()":                  "statement_timestamp()",
		"SELECT transaction_timestamp()":                "transaction_timestamp()",
		"SELECT timeofday()":                            "timeofday()",
		"SELECT CURRENT_TIMESTAMP":                      "current_timestamp",
		"SELECT current_timestamp(3)":                   "current_timestamp",
		"SELECT Current_Date - 1":                       "current_date",
		"SELECT current_time":                           "current_time",
		"SELECT localtimestamp":                         "localtimestamp",
		"SELECT localtime":                              "localtime",
		"SELECT a FROM t ORDER BY random() LIMIT 5":     "random()",
		"SELECT random_normal(0, 1)":                    "random_normal()",
		"SELECT setseed(0.5)":                           "setseed()",
		"SELECT gen_random_uuid()":                      "gen_random_uuid()",
		"SELECT uuidv7()":                               "uuidv7()",
		"SELECT extensions.uuid_generate_v4()":          "uuid_generate_v4()",
		"SELECT nextval('s')":                           "nextval()",
		"SELECT currval('s'), 1":                        "currval()",
		"SELECT lastval()":                              "lastval()",
		"SELECT pg_sleep(1)":                            "pg_sleep()",
		"SELECT * FROM dblink('db', 'q') AS t(a int)":   "dblink()",
		"SELECT * FROM dblink_fetch('c', 5) t(a int)":   "dblink_fetch()",
		"SELECT 'now'::timestamptz":                     "'now'",
		"SELECT a FROM t WHERE day = DATE 'Today'":      "'today'",
		"SELECT ' tomorrow '::date":                     "' tomorrow '",
		"SELECT E'yesterday'::date":                     "'yesterday'",
		"SELECT a FROM t TABLESAMPLE system (1)":        "tablesample",
		"SELECT * FROM pg_stat_activity":                "pg_stat_activity",
		"SELECT * FROM pg_catalog.pg_statio_all_tables": "pg_statio_all_tables",
		"SELECT 'it''s' || now()":                       "now()",
		`SELECT '\', now()`:                             "now()",
		"SELECT $$x$$, now()":                           "now()",
		"SELECT current_date, now()":                    "current_date",

		"SELECT 1":                                    "",
		"SELECT 'now()'":                              "",
		"SELECT 'right now'":                          "",
		"SELECT '''now'''":                            "",
		"SELECT 'it''s now()'":                        "",
		`SELECT E'\', now()'`:                         "",
		"SELECT now FROM t":                           "",
		"SELECT a AS now FROM t":                      "",
		`SELECT "now" FROM t`:                         "",
		`SELECT "current_date", "pg_stat_x" FROM t`:   "",
		`SELECT a AS "random()" FROM t`:               "",
		"SELECT t.current_date, 1 AS current_time":    "",
		"SELECT 1 -- now()":                           "",
		"SELECT 1 /* now() /* */ current_date */ + 1": "",
		"SELECT $$ now() $$, $a$ current_date $a$":    "",
		"SELECT known(), renow(), now_(), my_now(1)":  "",
		"SELECT é_now(1), xnow(), now$(1)":            "",
		"SELECT today, tomorrow FROM t":               "",
		"SELECT random, lastval, dblink FROM t":       "",
		"SELECT * FROM pg_stats, pg_statistic":        "",
		"SELECT date_trunc('day', created) FROM t":    "",
		"SELECT age(created, updated) FROM t":         "",
		"SELECT localtimes, current_dates FROM t":     "",
	} {
		if got := volatileRead(query); got != want {
			t.Errorf("%s: got %q, want %q", query, got, want)
		}
	}
}

// Whatever the text is, what is found stands in it, and nothing is found in a
// comment, a quoted name or a dollar-quoted string.
func FuzzVolatileRead(f *testing.F) {
	f.Add("SELECT 'now', E'\\'' || now /* */ ()")
	f.Add("$a$;'\"/* current_date")
	f.Add("pg_stat_")
	f.Fuzz(func(t *testing.T, query string) {
		if got := strings.TrimSuffix(volatileRead(query), "()"); !strings.Contains(strings.ToLower(query), got) {
			t.Errorf("%q: got %q, which is not in it", query, got)
		}
		for _, hidden := range []string{
			"SELECT 1 --" + strings.ReplaceAll(query, "\n", " "),
			`SELECT "` + strings.ReplaceAll(query, `"`, `""`) + `"`,
			"SELECT $hide$" + strings.ReplaceAll(query, "$", "") + " $hide$",
		} {
			if got := volatileRead(hidden); got != "" {
				t.Errorf("%q: got %q", hidden, got)
			}
		}
	})
}
