package postgres_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/postgres"
)

// first returns the first row of a reading as JSON, and how many rows there were.
func first(got *string, rows *int) func(*store.Reading) error {
	return func(r *store.Reading) error {
		list, err := texts(r)
		if *rows = len(list); err == nil && len(list) > 0 {
			*got = list[0]
		}
		return err
	}
}

// The comments of a query reach the server, in a run and in a refresh, beside the mark of
// its job, and what we add behind the query is not part of a comment. Broken by: a body
// without the line break behind the query.
func TestCommentsReachTheServer(t *testing.T) {
	s, _ := newShop(t)
	for name, tt := range map[string]struct{ head, tail, comment string }{
		"line comment":     {"", " -- traceparent='00-a-b-01'", "-- traceparent='00-a-b-01'"},
		"block comment":    {"", " /*app='shop',route='/x'*/", "/*app='shop',route='/x'*/"},
		"nested":           {"", " /* a /* b; -- */ ' $x$ */", "/* a /* b; -- */ ' $x$ */"},
		"leading":          {"/* lead; */ -- it's\n", "", "/* lead; */ -- it's"},
		"inner":            {"", " WHERE /* in; */ true -- \"", "/* in; */ true -- \""},
		"hint":             {"/*+ SeqScan(product) */ ", " -- last", "/*+ SeqScan(product) */"},
		"star at its ends": {"", " --*/ /*", "--*/ /*"},
	} {
		t.Run(name, func(t *testing.T) {
			// json has Postgres convert a column: the statement is another.
			for _, extra := range []string{"", ", feel"} {
				j := job(t, tt.head+"SELECT id, current_query() AS sql"+extra+" FROM product"+tt.tail, "p:{id}")
				j.Name = "top-sellers"
				var run, refresh string
				var all, one int
				if err := s.Run(t.Context(), j, first(&run, &all)); err != nil {
					t.Fatal(err)
				}
				if err := s.Refresh(t.Context(), j, []jobs.Key{{"id": "7"}}, first(&refresh, &one)); err != nil {
					t.Fatal(err)
				}
				if all != 1000 || one != 1 {
					t.Errorf("a run has %d rows, a refresh of one key %d", all, one)
				}
				if _, err := s.Explain(t.Context(), j); err != nil {
					t.Error(err)
				}
				for what, sql := range map[string]string{"run": run, "refresh": refresh} {
					plain := strings.NewReplacer(`\"`, `"`, `\n`, "\n", `\/`, "/").Replace(sql)
					for _, want := range []string{tt.comment, "/* stoker job=top-sellers */"} {
						if !strings.Contains(plain, want) {
							t.Errorf("%s lacks %s:\n%s", what, want, plain)
						}
					}
					if front := strings.Index(plain, "/*+"); front >= 0 && strings.Index(plain, "/* stoker") < front {
						t.Errorf("%s: the mark stands before the hint, and ends it:\n%s", what, plain)
					}
				}
			}
		})
	}
}

// A name that could end the comment cannot come from a spec; if it comes from elsewhere,
// it does not.
func TestTagCannotBeClosed(t *testing.T) {
	for name, want := range map[string]string{
		"top-sellers":                "/* stoker job=top-sellers */ SELECT 1",
		"a */ DROP TABLE product --": "/* stoker job=a____DROP_TABLE_product_-- */ SELECT 1",
		"/* ü\n":                     "/* stoker job=_____ */ SELECT 1",
	} {
		if got, _ := postgres.Tag(&jobs.Job{Name: name}, "SELECT 1", 0); got != want {
			t.Errorf("%q: %s, want %s", name, got, want)
		}
	}
}

// A mistake is located in the user's own text, wherever the mark stands.
func TestPositionsDoNotCountTheTag(t *testing.T) {
	s, _ := newShop(t)
	type place struct{ Line, Col int }
	for query, want := range map[string]place{
		"SELECT id FROM prodduct -- x":                     {1, 16},
		"-- é first\nSELECT id,\n  nmae FROM product":      {3, 3},
		"/*+ SeqScan(p) */ SELECT id, nmae FROM product p": {1, 30},
		"SELECT id, /* ü; */ nmae FROM product":            {1, 21},
		"SELECT id FROM product /* not closed":             {1, 24},
	} {
		j := job(t, query, "p:{id}")
		j.Name = "a-job-with-a-long-name"
		_, err := s.Describe(t.Context(), j)
		q, _ := errors.AsType[*store.QueryError](err)
		if q == nil {
			t.Errorf("%s: %v", query, err)
			continue
		}
		if diff := cmp.Diff(want, place{q.Line, q.Col}); diff != "" {
			t.Errorf("%s: %v\n%s", query, err, diff)
		}
	}
}
