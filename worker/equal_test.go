package worker

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store/storetest"
)

// equalCase is a key column whose row is named otherwise than it is written.
type equalCase struct {
	name   string
	setup  string // before the table; "" : none
	typ    string // of the column
	query  string // of the key's column; "": the column
	value  string // in the table, as SQL
	other  string // in another row
	asks   []string
	others []string // that must not touch the row
}

// equalCases are the types whose equal values have several texts, and those that Postgres reads from several.
func equalCases() []equalCase {
	const citext = "CREATE EXTENSION citext"
	const loose = "CREATE COLLATION loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false)"
	return []equalCase{
		{"citext", citext, "citext", "", "'Ann@x.io'", "'bob@x.io'", []string{"ann@x.io", "ANN@X.IO", "Ann@x.io"},
			[]string{"ann@x.io "}},
		{"citext, long ago", citext, "citext", "", "'ÄNN'", "'bob'", []string{"änn", "Änn"}, []string{"ann"}},
		{"citext elsewhere", "CREATE SCHEMA ext; CREATE EXTENSION citext SCHEMA ext", "ext.citext", "", "'Ann'",
			"'bob'",
			[]string{"ann"}, nil},
		{"domain over citext", citext + "; CREATE DOMAIN email AS citext CHECK (value ~ '@')", "email", "", "'Ann@x'",
			"'bob@x'", []string{"ann@x"}, nil},
		{"numeric", "", "numeric", "", "1.50", "2", []string{"1.5", "1.500", "+1.5", "15e-1"}, []string{"1.51"}},
		{"numeric NaN", "", "numeric", "", "'NaN'", "2", []string{"nan"}, nil},
		{"numeric(6,2)", "", "numeric(6,2)", "", "1.50", "2", []string{"1.5", "1.500"}, nil},
		{"interval", "", "interval", "", "'24:00:00'", "'1 hour'", []string{"1 day", "1440 min", "P1D"},
			[]string{"25:00"}},
		{"float", "", "float8", "", "'-0'", "2", []string{"0", "-0", "0.0", "+0e5"}, nil},
		{"float4", "", "float4", "", "'-0'", "2", []string{"0"}, nil},
		{"char(n)", "", "char(6)", "", "'ab'", "'abc'", []string{"ab", "ab    ", "ab  "}, []string{"ab x"}},
		{"bpchar", "", "char(6)", "k::bpchar", "'ab'", "'abc'", []string{"ab", "ab ", "ab    "}, nil},
		{"bpchar, as it comes", "", "bpchar", "", "'ab  '", "'abc'", []string{"ab", "ab "}, nil},
		{"collation", loose, "text COLLATE loose", "", "'Zoë'", "'bob'", []string{"zoë", "ZOË", "Zoe\u0308"},
			[]string{"Zoe"}},
		{"varchar, collation", loose, "varchar(9) COLLATE loose", "", "'Zoe'", "'bob'", []string{"zoe"}, nil},
		{"text, collation of the query", loose, "text", `k COLLATE loose`, "'Zoe'", "'bob'", []string{"zoe"}, nil},
		{"text", "", "text", "", "'Ann'", "'bob'", []string{"Ann"}, []string{"ann", "Ann ", "ANN"}},
		{"text beside a loose collation", loose, "text", "", "'Ann'", "'bob'", []string{"Ann"}, []string{"ann"}},
		{"jsonb", "", "jsonb", "", `'{"a": 1.0}'`, `'{"a": 2}'`, []string{`{"a":1}`, `{ "a" : 1.00 }`}, nil},
		{"jsonb string", "", "jsonb", "", `'"abc"'`, `'"b"'`, []string{`"abc"`}, nil},
		{"int", "", "int", "", "7", "8", []string{"007", "+7", " 7 "}, nil},
		{"bool", "", "bool", "", "true", "false", []string{"t", "TRUE", "yes", "1"}, nil},
		{"uuid", "", "uuid", "", "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'", "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a12'",
			[]string{"A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11", "{a0eebc999c0b4ef8bb6d6bb9bd380a11}"}, nil},
		{"timestamptz", "", "timestamptz", "", "'2024-03-01 05:00+01'", "'2024-03-01'",
			[]string{"2024-03-01T04:00:00Z", "2024-02-29 23:00:00-05"}, nil},
		{"date", "", "date", "", "'2024-03-01'", "'2024-03-02'", []string{"March 1, 2024", "20240301"}, nil},
		{"inet", "", "inet", "", "'10.0.0.1/32'", "'10.0.0.2'", []string{"10.0.0.1", "10.0.0.1/32"}, nil},
		{"cidr", "", "cidr", "", "'10.0.0.0/8'", "'11.0.0.0/8'", []string{"10/8", "10.0.0.0/8"}, nil},
		{"macaddr", "", "macaddr", "", "'08:00:2b:01:02:03'", "'08:00:2b:01:02:04'",
			[]string{"08-00-2B-01-02-03", "08002b010203"}, nil},
		{"bit", "", "bit(3)", "", "B'101'", "B'100'", []string{"101"}, nil},
		{"varbit", "", "varbit", "", "B'101'", "B'1010'", []string{"101"}, nil},
		{"enum", "CREATE TYPE mood AS ENUM ('Ok', 'sad')", "mood", "", "'Ok'", "'sad'", []string{"Ok"}, nil},
		{"bytea", "", "bytea", "", `'\x0aff'`, `'\x00'`, []string{`\x0AFF`, `\012\377`}, nil},
		{"money", "", "money", "", "'12.5'", "'1'", []string{"12.50", "$12.5"}, nil},
		{"numrange", "", "numrange", "", "'[1.0,2)'", "'[3,4)'", []string{"[1,2.0)"}, nil},
		{"int4range", "", "int4range", "", "'[1,5)'", "'[3,4)'", []string{"[1,4]"}, nil},
	}
}

// keysOfValues makes a key of one column of each value.
func keysOfValues(values ...string) (keys []jobs.Key) {
	for _, v := range values {
		keys = append(keys, jobs.Key{"k": v})
	}
	return keys
}

// A key that is named otherwise than its row is written is the key of that row, also when the row is gone: by
// the equality of its column. Broken by: a key of a gone row that stays, a fence that misses it, a neighbour
// that goes along, an invalidation of text that ignores case.
func TestKeyNamedOtherwiseThanItsRow(t *testing.T) {
	t.Parallel()
	bySetup := make(map[string][]equalCase)
	for _, tc := range equalCases() {
		bySetup[tc.setup] = append(bySetup[tc.setup], tc)
	}
	for setup, cases := range bySetup {
		t.Run(setup, func(t *testing.T) {
			t.Parallel()
			var sql []string
			if setup != "" {
				sql = append(sql, setup)
			}
			var list []*jobs.Job
			for i, tc := range cases {
				sql = append(sql, fmt.Sprintf("CREATE TABLE t%d (k %s, n int)", i, tc.typ),
					fmt.Sprintf("INSERT INTO t%d VALUES (%s, 1), (%s, 2)", i, tc.value, tc.other))
				column := "k"
				if tc.query != "" {
					column = tc.query + " AS k"
				}
				for _, kind := range []jobs.ValueKind{jobs.ValueRow, jobs.ValueRows} {
					name := fmt.Sprintf("j%d-%s", i, kind)
					list = append(list, newJob(name, kind, name+":{k}",
						fmt.Sprintf("SELECT %s, n FROM (SELECT * FROM t%d ORDER BY k, n) t", column, i)))
				}
			}
			r := newRig(t, plan{sql: sql, jobs: list})
			for i, j := range list {
				t.Run(cases[i/2].name+"/"+string(j.Value), func(t *testing.T) {
					(&equalWorld{rig: r, t: t, job: j, table: fmt.Sprintf("t%d", i/2)}).play(cases[i/2])
				})
			}
		})
	}
}

// equalWorld is a job whose key column can be written in several ways, with two rows.
type equalWorld struct {
	*rig
	t     *testing.T
	job   *jobs.Job
	table string
}

// keyed is what Redis has of the job.
func (w *equalWorld) keyed() map[string]string {
	all := w.texts()
	maps.DeleteFunc(all, func(key, _ string) bool { return !strings.HasPrefix(key, w.job.Name+":") })
	return all
}

func (w *equalWorld) want(want map[string]string) {
	w.t.Helper()
	if d := differ(want, w.keyed()); d != "" {
		w.t.Error(d)
	}
}

func (w *equalWorld) refresh(remove bool, value string) Refreshed {
	w.t.Helper()
	out, err := w.w.Refresh(w.t.Context(), "id", jobs.Invalidation{Job: w.job.Name, Keys: keysOfValues(value),
		Remove: remove})
	if err != nil || out.Warning != "" {
		w.t.Errorf("%q: %+v, %v", value, out, err)
	}
	return out
}

func (w *equalWorld) exec(sql string) {
	storetest.Exec(w.t, w.pg, strings.ReplaceAll(sql, "%T", w.table))
}

func (w *equalWorld) play(tc equalCase) {
	w.run(w.job.Name)
	all := w.keyed()
	mine, gone := "", map[string]string{}
	for key, value := range all {
		if strings.Contains(value, `"n":1`) {
			mine = key
		} else {
			gone[key] = value
		}
	}
	if len(all) != 2 || len(gone) != 1 {
		w.t.Fatalf("the run wrote %v", all)
	}
	for _, value := range tc.others {
		w.refresh(true, value)
		w.want(all)
	}
	for n, value := range tc.asks {
		w.exec(fmt.Sprintf("UPDATE %%T SET n = %d WHERE n <> 2", 10+n))
		if out := w.refresh(false, value); out.Keys != 1 ||
			!strings.Contains(w.keyed()[mine], fmt.Sprintf(`"n":%d`, 10+n)) {
			w.t.Errorf("%q: %+v, %v", value, out, w.keyed())
		}
		if out := w.refresh(true, value); out.Removed != 1 {
			w.t.Errorf("remove %q: %+v", value, out)
		}
		w.want(gone)
	}
	for _, value := range tc.asks {
		w.exec("UPDATE %T SET n = 1 WHERE n <> 2")
		w.run(w.job.Name)
		w.want(all)
		w.exec("CREATE TABLE gone AS SELECT * FROM %T WHERE n <> 2; DELETE FROM %T WHERE n <> 2")
		if err := w.w.Fence(w.t.Context(), w.job, keysOfValues(value)); err != nil {
			w.t.Fatal(err)
		}
		if ttl := w.redis.PTTL(w.t.Context(), mine).Val(); ttl > w.job.StaleGrace {
			w.t.Errorf("%q: the value of a gone row is not fenced, it has %s left", value, ttl)
		}
		if out := w.refresh(false, value); out.Removed != 1 || out.Keys != 0 {
			w.t.Errorf("%q, gone: %+v", value, out)
		}
		w.want(gone)
		w.exec("INSERT INTO %T SELECT * FROM gone; DROP TABLE gone")
	}
}

// Keys of several columns, of which some are exact. Broken by: a column that is not compared by its own equality,
// or not at all; a key whose text can be read in several ways that is taken for another.
func TestKeyOfSeveralColumnsNamedOtherwise(t *testing.T) {
	t.Parallel()
	for _, kind := range []jobs.ValueKind{jobs.ValueRow, jobs.ValueRows} {
		for name, setup := range map[string]string{"here": "CREATE EXTENSION citext",
			"elsewhere": "CREATE SCHEMA ext; CREATE EXTENSION citext SCHEMA ext",
			"collation": "CREATE COLLATION loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false)"} {
			t.Run(string(kind)+"/"+name, func(t *testing.T) {
				t.Parallel()
				typ := map[string]string{"here": "citext", "elsewhere": "ext.citext",
					"collation": "text COLLATE loose"}[name]
				j := newJob("j", kind, "p:{id}:{mail}:{rate}:{{}}",
					"SELECT id, mail, rate, tag, n FROM t ORDER BY id, mail, rate, n")
				r := newRig(t, plan{jobs: []*jobs.Job{j}, sql: []string{setup,
					fmt.Sprintf("CREATE TABLE t (id int, mail %s, rate numeric, tag text, n int)", typ),
					"INSERT INTO t SELECT 1, m, r, 'x', 1 FROM unnest(ARRAY['Ann', 'b:c', 'NULL']) m, " +
						"unnest(ARRAY[1.50, 2]) r",
					"INSERT INTO t VALUES (1, 'none', NULL, 'x', 1), (NULL, 'Ann', 1.5, 'x', 1), (1, NULL, 1.5, " +
						"'x', 1)"}})
				r.run("j")
				all := r.texts()
				if len(all) != 6 {
					t.Fatal(all)
				}
				storetest.Exec(t, r.pg, "DELETE FROM t WHERE rate = 1.5")
				for i, ask := range []string{"id=01,mail=ANN,rate=1.5", "id=1,mail=B:C,rate=1.500",
					"rate=1.5,mail=null,id=1"} {
					out, err := r.refreshed("j", i == 1, ask)
					if err != nil || out.Removed != 1 || out.Keys != 0 {
						t.Errorf("%s: %+v, %v", ask, out, err)
					}
				}
				for _, key := range []string{"p:1:Ann:1.50:{}", "p:1:b:c:1.50:{}", "p:1:NULL:1.50:{}"} {
					if _, ok := all[key]; !ok {
						t.Errorf("%s was never there: %v", key, all)
					}
					delete(all, key)
				}
				if d := differ(all, r.texts()); d != "" {
					t.Error(d)
				}
				storetest.Exec(t, r.pg, "UPDATE t SET n = 2")
				if out, err := r.refreshed("j", false, "id=1,mail=ann,rate=2.0"); err != nil || out.Keys != 1 {
					t.Errorf("%+v, %v", out, err)
				}
				if got := r.texts()["p:1:Ann:2:{}"]; !strings.Contains(got, `"n":2`) {
					t.Errorf("p:1:Ann:2 is %s", got)
				}
			})
		}
	}
}

// What no manifest has is found, too: keys that refreshes brought, that failed runs left, and all that is there
// when the manifest is lost. Broken by: a source of keys that is not looked at.
func TestEqualKeysAreFoundWhereverTheyAreKnown(t *testing.T) {
	t.Parallel()
	for name, prepare := range map[string]func(r *rig){
		"run": func(r *rig) { r.run("j") },
		"refresh": func(r *rig) {
			if _, err := r.refreshed("j", false, "k=Ann"); err != nil {
				r.t.Fatal(err)
			}
		},
		"refresh after a run": func(r *rig) {
			storetest.Exec(r.t, r.pg, "CREATE TABLE held AS TABLE t", "DELETE FROM t")
			r.run("j")
			storetest.Exec(r.t, r.pg, "INSERT INTO t TABLE held")
			if _, err := r.refreshed("j", false, "k=Ann"); err != nil {
				r.t.Fatal(err)
			}
		},
		"failed run after a run": func(r *rig) {
			storetest.Exec(r.t, r.pg, "CREATE TABLE held AS TABLE t", "DELETE FROM t WHERE n = 1")
			r.run("j")
			storetest.Exec(r.t, r.pg, "INSERT INTO t TABLE held", "INSERT INTO t VALUES ('zzz', 0)")
			if _, err := r.w.Run(r.t.Context(), "id", jobs.Run{Job: "j", Cause: jobs.CauseCommand}, nil); err == nil {
				r.t.Fatal("the run did not fail")
			}
			storetest.Exec(r.t, r.pg, "DELETE FROM t WHERE n = 0")
		},
		"lost manifest": func(r *rig) {
			r.run("j")
			for _, key := range r.redis.Keys(r.t.Context(), "stoker:manifest:*").Val() {
				r.redis.Del(r.t.Context(), key)
			}
		},
		"lost chunk": func(r *rig) {
			r.run("j")
			for _, key := range r.redis.Keys(r.t.Context(), "stoker:manifest:*:0").Val() {
				r.redis.Del(r.t.Context(), key)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			j := newJob("j", jobs.ValueRow, "p:{k}",
				"SELECT k, 1 / n AS v FROM (SELECT * FROM t ORDER BY k OFFSET 0) t")
			r := newRig(t, plan{jobs: []*jobs.Job{j},
				sql: []string{"CREATE EXTENSION citext", "CREATE TABLE t (k citext, n int)",
					"INSERT INTO t VALUES ('Ann', 1)",
					"INSERT INTO t SELECT 'many' || n, 2 FROM generate_series(1, 300) n"}})
			prepare(r)
			if _, ok := r.texts()["p:Ann"]; !ok {
				t.Fatal("nothing was written")
			}
			storetest.Exec(t, r.pg, "DELETE FROM t WHERE k = 'ann'")
			out, err := r.refreshed("j", false, "k=ANN")
			if _, there := r.texts()["p:Ann"]; err != nil || there || out.Removed != 1 {
				t.Errorf("%+v, %v", out, err)
			}
		})
	}
}

// Broken by: success while a run may still bring the key of a row that is gone.
func TestEqualKeysWhileARunGoesOn(t *testing.T) {
	t.Parallel()
	j := newJob("j", jobs.ValueRow, "p:{k}", "SELECT k, 1 AS v FROM t")
	r := newRig(t, plan{jobs: []*jobs.Job{j}, sql: []string{"CREATE EXTENSION citext", "CREATE TABLE t (k citext)"}})
	if out, err := r.refreshed("j", false, "k=ann"); err != nil || out.Warning != "" {
		t.Errorf("%+v, %v", out, err)
	}
	release, ok, err := r.w.acquireLease(t.Context(), "j", "another")
	if err != nil || !ok {
		t.Fatal(err)
	}
	if out, err := r.refreshed("j", false, "k=ann"); err != nil ||
		!strings.Contains(out.Warning, "a run of the job is going on") {
		t.Errorf("%+v, %v", out, err)
	}
	release()
	if out, err := r.refreshed("j", false, "k=ann"); err != nil || out.Warning != "" {
		t.Errorf("%+v, %v", out, err)
	}
}
