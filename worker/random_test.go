package worker

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stokerhq/stoker/jobs"
)

// Types, with an SQL expression of a random value each. i is the row.
var randomTypes = map[string]string{
	"int":              "(random() * 2e9 - 1e9)::int",
	"bigint":           "(random() * 1e18)::bigint * sign(random() - 0.5)::bigint",
	"smallint":         "(random() * 6e4 - 3e4)::int::smallint",
	"numeric":          "(random() * power(10, (random() * 30)::int - 10))::numeric",
	"numeric(12,4)":    "(random() * 1e7)::numeric(12,4)",
	"real":             "(exp(random() * 100 - 50))::real",
	"double precision": "exp(random() * 1000 - 500)",
	"boolean":          "random() < 0.5",
	"text":             `translate(md5(random()::text), 'abc123', E'"\\\\\n\u20ac\t\u0001')`,
	"varchar(9)":       "left(md5(random()::text), (random() * 9)::int)",
	"char(7)":          "left(md5(random()::text), (random() * 7)::int)",
	"uuid":             "gen_random_uuid()",
	"bytea":            "decode(md5(random()::text), 'hex')",
	"date":             "date '2000-01-01' + (random() * 4e6 - 2e6)::int / 3",
	"timestamp":        "timestamp '2000-01-01' + random() * 1e5 * interval '1 day 1.000001 seconds'",
	"timestamptz":      "timestamptz '2000-01-01' - random() * 1e5 * interval '1 day 1.000001 seconds'",
	"time":             "(random() * interval '1 day')::time",
	"interval":         "random() * interval '3 years 2 months 5 days 3.01 seconds' - interval '1 day'",
	"jsonb":            "jsonb_build_object('a', random(), 'b', jsonb_build_array(i, NULL, 'x'))",
	"json":             `json_build_array(i, ' "' || i)`,
	"int[]":            "ARRAY[i, NULL, (random() * 100)::int]",
	"text[]":           `ARRAY['a,b', '"', NULL, i::text]`,
	"mood":             "(ARRAY['sad', 'ok', 'so \"so\"'])[1 + i % 3]::mood",
	"int4range":        "int4range(i, i + 1 + (random() * 9)::int)",
	"pair":             "ROW(i, md5(i::text))::pair",
	"pair[]":           "ARRAY[ROW(i, NULL)::pair, NULL]",
	"inet":             "('10.0.' || i % 256 || '.1/24')::inet",
	"money":            "i::money",
	"point":            "point(i, random())",
}

// Random tables of random shapes, every key against Postgres' own row_to_json.
// Broken by: any type whose JSON differs in any byte; a column that is taken for
// another; NULL in a wrong place. The seed is in the name of a failed test.
func TestRandomTables(t *testing.T) {
	t.Parallel()
	r := newRig(t, plan{sql: []string{"CREATE TYPE mood AS ENUM ('sad', 'ok', 'so \"so\"')",
		"CREATE TYPE pair AS (a int, b text)"}})
	names := slices.Sorted(maps.Keys(randomTypes)) // in an order that the seed can choose from
	for range 12 {
		seed := rand.Uint64()
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			r := *r
			r.t = t
			rng := rand.New(rand.NewPCG(seed, 0))
			var columns, values []string
			for c := range 1 + rng.IntN(12) {
				name := names[rng.IntN(len(names))]
				columns = append(columns, fmt.Sprintf(`"c""%d é" %s`, c, name))
				values = append(values, fmt.Sprintf("CASE WHEN random() < %.1f THEN NULL ELSE %s END",
					rng.Float64()*0.5, randomTypes[name]))
			}
			at := rng.IntN(len(columns) + 1) // of the key among the columns
			columns = append(columns[:at], append([]string{"id int"}, columns[at:]...)...)
			values = append(values[:at], append([]string{"i"}, values[at:]...)...)
			n := rng.IntN(500)
			if err := r.redis.FlushDB(t.Context()).Err(); err != nil {
				t.Fatal(err)
			}
			r.exec("DROP TABLE IF EXISTS random",
				"CREATE TABLE random ("+strings.Join(columns, ", ")+")",
				fmt.Sprintf("SELECT setseed(%v)", rng.Float64()),
				fmt.Sprintf("INSERT INTO random SELECT %s FROM generate_series(1, %d) i", strings.Join(values, ", "),
					n))
			r.spec.Jobs = []*jobs.Job{newJob("j", jobs.ValueRow, "r:{id}", "TABLE random")}
			if rec := r.run("j"); rec.Keys != int64(n) {
				t.Errorf("%d keys of %d", rec.Keys, n)
			}
			r.wantCache("SELECT 'r:' || id, row_to_json(q)::text FROM random q")
			if t.Failed() {
				t.Log(columns)
			}
		})
	}
}

// Broken by: a sample that leans to the first or the last keys, or holds one
// twice.
func TestSampleIsUniform(t *testing.T) {
	const keys, rounds = 1000, 200
	var hits [keys]int
	for range rounds {
		var s sample
		for i := range keys {
			s.add(fmt.Append(nil, i))
		}
		seen := make(map[string]bool)
		for _, k := range s.keys {
			if seen[k] {
				t.Fatalf("%s is there twice", k)
			}
			seen[k] = true
			var i int
			fmt.Sscan(k, &i)
			hits[i]++
		}
		if len(s.keys) != sampleSize {
			t.Fatalf("%d keys", len(s.keys))
		}
	}
	// Each tenth of the keys is expected rounds*12.8 = 2560 times, with a standard
	// deviation of some 45: off by 300 is one in 10^10.
	for tenth := range 10 {
		sum := 0
		for _, n := range hits[tenth*100 : tenth*100+100] {
			sum += n
		}
		if want := rounds * sampleSize / 10; sum < want-300 || sum > want+300 {
			t.Errorf("keys from %d on were chosen %d times, want some %d", tenth*100, sum, want)
		}
	}
}
