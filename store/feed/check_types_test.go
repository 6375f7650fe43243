package feed_test

import (
	"fmt"
	"testing"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store/feed/feedtest"
	"github.com/stokerhq/stoker/store/storetest"
)

// A changed row names its key in its own column's text. Where the query's key column
// is of a type that prints otherwise, that is another key.
func TestCheckKeyTypes(t *testing.T) {
	url := storetest.Postgres(t)
	storetest.Exec(t, url, `CREATE DOMAIN code AS varchar(9)`, `CREATE TABLE t (id int PRIMARY KEY, big bigint, small smallint, flag bool, fixed char(5), real float8,
		amount numeric(10,2), name text, short varchar(9), code code, uid uuid, day date, at timestamptz)`, "ALTER TABLE t REPLICA IDENTITY FULL")
	s := feedtest.Open(t, url)
	warning := func(from, typ, want string) string {
		return fmt.Sprintf("warn a: column %s is %s, but column k of the job's query is %s: where these print "+
			"otherwise, changes name other keys than those in the cache; cast one of them in its query, so that "+
			"both have one type", from, typ, want)
	}
	for _, c := range []struct{ column, query, typ, want string }{
		{"id", "id", "", ""},
		{"big", "id", "", ""},
		{"id", "small", "", ""},
		{"id", "id::text", "", ""}, // as large numbers are written for JavaScript
		{"uid", "uid::text", "", ""},
		{"uid", "uid", "", ""},
		{"name", "short", "", ""},
		{"code", "name", "", ""},
		{"flag", "flag", "", ""},
		{"fixed", "fixed", "", ""},
		{"amount", "amount", "", ""},
		{"amount", "coalesce(amount)", "", ""},
		{"amount", "amount::numeric", "", ""},
		{"flag", "flag::text", "boolean", "text"},
		{"fixed", "fixed::text", "character(5)", "text"},
		{"fixed", "fixed::char(9)", "character(5)", "character(9)"},
		{"real", "real::numeric", "double precision", "numeric"},
		{"amount", "amount::numeric(10,1)", "numeric(10,2)", "numeric(10,1)"},
		{"id", "id::numeric(10,2)", "integer", "numeric(10,2)"},
		{"name", "id", "text", "integer"},
		{"at", "day", "timestamp with time zone", "date"},
	} {
		var want []string
		if c.typ != "" {
			want = []string{warning(c.column+" of watched table public.t", c.typ, c.want)}
		}
		spec := feedtest.Spec(t, jobs.SourceWAL, map[string][]jobs.Watch{"a:{k}": {{Table: "t",
			Key: map[string]string{"k": c.column}}}})
		spec.Changes.URL = jobs.NewSecret(url)
		spec.Jobs[0].Query = "SELECT " + c.query + " AS k FROM t"
		feedtest.WantProblems(t, c.column+" for "+c.query, checked(t, s, spec), want...)
	}
	spec := feedtest.Spec(t, jobs.SourceWAL, map[string][]jobs.Watch{"a:{k}": {{Table: "t", Column: "id",
		Keys: "SELECT flag AS k FROM t WHERE id = ANY($1)"}}})
	spec.Changes.URL = jobs.NewSecret(url)
	spec.Jobs[0].Query = "SELECT flag AS k FROM t"
	feedtest.WantProblems(t, "a keys query", checked(t, s, spec))
	spec.Jobs[0].Query = "SELECT flag::text AS k FROM t"
	feedtest.WantProblems(t, "a keys query", checked(t, s, spec),
		warning("k of the keys query of watched table public.t", "boolean", "text"))
}
