package encode_test

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// Pieces of SQL that make random values; g is the number of the row.
const (
	rndBits = `('x' || md5(random()::text))::bit(64)::bigint`
	rndText = `(SELECT coalesce(string_agg(chr(CASE (random() * 5)::int
		WHEN 0 THEN 1 + (random() * 31)::int
		WHEN 1 THEN (ARRAY[34, 92, 47, 127])[1 + floor(random() * 4)::int]
		WHEN 2 THEN 128 + (random() * 2000)::int
		WHEN 3 THEN 57344 + (random() * 1000000)::int
		ELSE 32 + (random() * 94)::int END), ''), '') FROM generate_series(1, (random() * 20)::int + g * 0))`
	rndSign = `(CASE WHEN random() < .5 THEN -1 ELSE 1 END)`
	rndTime = `(CASE WHEN random() < .05 THEN '24:00'::time WHEN random() < .3 THEN ('00:00'::time + random() * interval '1 day')::time(0)
		WHEN random() < .5 THEN ('00:00'::time + random() * interval '1 day')::time(3) ELSE '00:00'::time + random() * interval '1 day' END)`
	rndMoment = `timestamp '4714-11-24 BC' + floor(109000000 * random() * CASE WHEN random() < .5 THEN random() ELSE 1 END) * interval '1 day' + (` + rndTime + `)::interval`
	rndDigits = `(translate(left(md5(random()::text), 1 + floor(random() * 17)::int), 'abcdef', '123456'))`
)

// random lists, a type, an expression that makes one value.
var random = []struct{ typ, expr string }{
	{"bool", `random() < .5`},
	{"int2", `floor(random() * 65536 - 32768)::int2`},
	{"int4", `(` + rndBits + ` >> (32 + (random() * 31)::int))::int4`},
	{"int8", rndBits + ` >> (random() * 63)::int`},
	{"oid", `floor(random() * 4294967296)::bigint::oid`},
	{"float4", `(CASE WHEN random() < .5 THEN ` + rndDigits + `|| 'e' || (random() * 50 - 36)::int ELSE left(` +
		rndDigits + `, 9) || 'e' || (random() * 16 - 8)::int END)::float4 * ` + rndSign},
	{"float8", `(` + rndDigits + ` || 'e' || (random() * 570 - 300)::int)::float8 * ` + rndSign},
	{"numeric", `CASE WHEN random() < .02 THEN ('{NaN,Infinity,-Infinity,0,0.000}'::numeric[])[1 + floor(random() * 5)::int]
		ELSE round(` + rndSign + ` * (` + rndDigits + ` || ` + rndDigits + ` || 'e' || (random() * 120 - 80)::int)::numeric, (random() * 60 - 10)::int) END`},
	{"text", rndText},
	{"varchar(9)", rndText + `::varchar(9)`},
	{"char(12)", rndText + `::char(12)`},
	{"name", rndText + `::name`},
	{`"char"`, `chr(1 + (random() * 126)::int)::"char"`},
	{"bytea", `decode(left(md5(random()::text), 2 * (random() * 16)::int), 'hex')`},
	{"uuid", `md5(random()::text)::uuid`},
	{"date", `CASE WHEN random() < .05 THEN ('{infinity,-infinity}'::date[])[1 + (random() * 1)::int] WHEN random() < .5 THEN date '2000-01-01' + (random() * 2000000 - 1000000)::int
		ELSE date '4714-11-24 BC' + floor(random() * 2147483494)::int END`},
	{"time", rndTime},
	{"timetz", `(` + rndTime + `::text || (CASE WHEN random() < .5 THEN '+' ELSE '-' END) || (random() * 15)::int ||
		CASE WHEN random() < .5 THEN '' ELSE ':' || (random() * 59)::int || CASE WHEN random() < .7 THEN '' ELSE ':' || (random() * 59)::int END END)::timetz`},
	{"timestamp", `CASE WHEN random() < .02 THEN 'infinity' WHEN random() < .02 THEN '-infinity' ELSE ` + rndMoment +
		` END`},
	{"timestamptz", `CASE WHEN random() < .02 THEN 'infinity' WHEN random() < .02 THEN '-infinity' ELSE ` + rndMoment +
		` END::timestamptz`},
	{"interval", `make_interval(months => CASE WHEN random() < .4 THEN 0 ELSE (` + rndBits + ` >> (32 + (random() * 31)::int))::int END,
		days => CASE WHEN random() < .4 THEN 0 ELSE (` + rndBits + ` >> (32 + (random() * 31)::int))::int END,
		secs => CASE WHEN random() < .4 THEN 0 ELSE trunc((` + rndBits + ` >> (11 + (random() * 52)::int))::numeric / 1000000, (random() * 6)::int) END)`},
	{"json", `CASE (random() * 4)::int WHEN 0 THEN to_json(` + rndText + `) WHEN 1 THEN json_build_object(` + rndText + `, ` + rndText + `, 'n', random()) WHEN 2 THEN to_json(random())
		WHEN 3 THEN ('"\u' || to_hex(4096 + (random() * 32768)::int) || '"')::json ELSE json_build_array(` + rndText + `, NULL) END`},
	{"jsonb", `CASE (random() * 3)::int WHEN 0 THEN to_jsonb(` + rndText + `) WHEN 1 THEN jsonb_build_object(` + rndText + `, ` + rndText + `, 'n', random()) WHEN 2 THEN to_jsonb(random())
		ELSE jsonb_build_array(` + rndText + `, NULL) END`},
}

const (
	randomRows   = 3000
	randomFloats = 50_000
)

// TestRandomValues compares thousands of random values a type with the server's
// JSON, and then the same values in arrays of random shapes.
func TestRandomValues(t *testing.T) {
	conn := connect(t)
	rng := seeded(t, conn)
	run(t, conn, shifted)
	for i, r := range random {
		t.Run(r.typ, func(t *testing.T) {
			table := fmt.Sprintf("random%d", i)
			fill(t, conn, table, r.typ, r.expr, randomRows)
			rows := compare(t, conn, "SELECT v FROM "+table)
			for range 6 {
				rows += compare(t, conn, arraysOf(rng, table))
			}
			if rows < randomRows {
				t.Errorf("only %d rows were compared", rows)
			}
		})
	}
}

// seeded makes the server's random numbers repeatable and says with which seed.
func seeded(t *testing.T, conn *pgconn.PgConn) *rand.Rand {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	run(t, conn, fmt.Sprintf("SELECT setseed(%f)", float64(seed%1_000_000)/1_000_000))
	return rand.New(rand.NewPCG(seed, 0))
}

// fill makes a temporary table (i, v) of random values; one in twenty is NULL.
func fill(t *testing.T, conn *pgconn.PgConn, table, typ, expr string, rows int) {
	t.Helper()
	run(t, conn, fmt.Sprintf(`CREATE TEMP TABLE %s AS SELECT g AS i, (CASE WHEN random() < .05 THEN NULL ELSE %s END)::%s AS v
		FROM generate_series(0, %d) g`, table, expr, typ, rows-1))
}

// shifted gives an array lower bounds other than 1.
const shifted = `CREATE FUNCTION shifted(a anyarray) RETURNS anyarray LANGUAGE plpgsql AS $$
	DECLARE bounds text := ''; shift int;
	BEGIN
		FOR d IN 1 .. array_ndims(a) LOOP
			shift := (random() * 9)::int - 5;
			bounds := bounds || format('[%s:%s]', shift, shift + array_length(a, d) - 1);
		END LOOP;
		EXECUTE format('SELECT %L::%s', bounds || '=' || a::text, pg_typeof(a)) INTO a;
		RETURN a;
	END $$`

// arraysOf returns a query that cuts the values of a table into arrays of one
// random shape.
func arraysOf(rng *rand.Rand, table string) string {
	sql := "SELECT i, v FROM " + table
	ndim := 1 + rng.IntN(6)
	for range ndim {
		size := 1 + rng.IntN(10/ndim)
		sql = fmt.Sprintf("SELECT i / %d AS i, array_agg(v ORDER BY i) AS v FROM (%s) a GROUP BY 1 HAVING count(*) "+
			"= %d", size, sql, size)
	}
	if rng.IntN(3) == 0 {
		return "SELECT shifted(v) AS v FROM (" + sql + ") b LIMIT 200"
	}
	return "SELECT v FROM (" + sql + ") b"
}

// TestRandomFloatBits sends random bits as floats, of which decimal literals
// reach only some.
func TestRandomFloatBits(t *testing.T) {
	conn := connect(t)
	rng := seeded(t, conn)
	for _, f := range []struct {
		typ   string
		oid   uint32
		width int
	}{{"float4", 700, 4}, {"float8", 701, 8}} {
		t.Run(f.typ, func(t *testing.T) {
			values := binary.BigEndian.AppendUint32(nil, 1)
			for _, n := range []uint32{0, f.oid, randomFloats, 1} {
				values = binary.BigEndian.AppendUint32(values, n)
			}
			for range randomFloats {
				values = binary.BigEndian.AppendUint32(values, uint32(f.width))
				bits := binary.BigEndian.AppendUint64(nil, rng.Uint64())
				values = append(values, bits[:f.width]...)
			}
			if rows := compare(t, conn, "SELECT v FROM unnest($1::"+f.typ+"[]) v", values); rows != randomFloats {
				t.Errorf("%d rows were compared, not %d", rows, randomFloats)
			}
		})
	}
}

// TestHalfwayFloats is about the floats whose shortest digits lie halfway to a
// neighbour, where Go and Postgres differ: short decimals with an exponent that
// five can still be divided out of, and all powers of two.
func TestHalfwayFloats(t *testing.T) {
	conn := connect(t)
	seeded(t, conn)
	compare(t, conn, `SELECT power(2::float8, i) AS v FROM generate_series(-1074, 1023) i`)
	compare(t, conn, `SELECT power(2::float8, i)::float4 AS v FROM generate_series(-149, 127) i`)
	compare(t, conn, `SELECT (d || 'e' || k)::float8 AS v FROM generate_series(1, 999) d, generate_series(10, 26) k`)
	compare(t, conn, `SELECT (d || 'e' || k)::float4 AS v FROM generate_series(1, 999) d, generate_series(4, 14) k`)
	for _, f := range []struct {
		typ             string
		bits, maxFactor int
	}{{"float8", 53, 22}, {"float4", 24, 10}} {
		for k := range f.maxFactor {
			compare(t, conn, fmt.Sprintf(`SELECT ((floor((1 + random()) * 2 ^ %d / 5::float8 ^ %d)::bigint | 1)::numeric * 2::numeric ^ (random() * 8)::int || 'e%d')::%s AS v
				FROM generate_series(1, 500)`, f.bits, k, k, f.typ))
		}
	}
	// Floats halfway between two decimals: few odd parts, fives enough.
	compare(t, conn, `SELECT (o * 2 + 1) * power(2::float8, -p) AS v FROM generate_series(0, 300) o, generate_series(1, 70) p`)
	compare(t, conn, `SELECT ((o * 2 + 1) * power(2::float8, -p))::float4 AS v FROM generate_series(0, 300) o, generate_series(1, 40) p`)
	compare(t, conn, `SELECT (floor(random() * 2 ^ (53 - p)) * power(2::float8, -(random() * 30)::int)) AS v FROM generate_series(1, 53) p, generate_series(1, 300)`)
	compare(t, conn, `SELECT (floor(random() * 2 ^ (24 - p)) * power(2::float8, -(random() * 20)::int))::float4 AS v FROM generate_series(1, 24) p, generate_series(1, 500)`)
	compare(t, conn, `SELECT (floor(random() * 2 ^ 53)::bigint::numeric * 5 || 'e' || p)::float8 AS v FROM generate_series(1, 22) p, generate_series(1, 500)`)
	compare(t, conn, `SELECT (floor(random() * 2 ^ (p + 3))::bigint::numeric * 5 || 'e' || (random() * 10)::int)::float8 AS v FROM generate_series(40, 57) p, generate_series(1, 500)`)
	compare(t, conn, `SELECT (floor(random() * 2 ^ p)::bigint::numeric * 5 || 'e' || (random() * 10)::int)::float4 AS v FROM generate_series(12, 28) p, generate_series(1, 500)`)
}
