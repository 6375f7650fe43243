package encode_test

import (
	"encoding/binary"
	"math"
	"strings"

	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/encode"
)

// goldenRow is a row and what Python reads of it.
type goldenRow struct {
	name  string
	cells []cell
	json  string // as a JSON object
	packed,
	hash string
}

type cell struct {
	name string
	oid  uint32
	raw  []byte
}

func (r goldenRow) columns() (cols []store.Column, row store.Row) {
	for _, c := range r.cells {
		cols, row = append(cols, store.Column{Name: c.name, OID: c.oid}), append(row, c.raw)
	}
	return cols, row
}

func i16(v int16) []byte { return binary.BigEndian.AppendUint16(nil, uint16(v)) }
func i32(v int32) []byte { return binary.BigEndian.AppendUint32(nil, uint32(v)) }
func i64(v int64) []byte { return binary.BigEndian.AppendUint64(nil, uint64(v)) }
func f32(v float32) []byte {
	return binary.BigEndian.AppendUint32(nil, math.Float32bits(v))
}
func f64(v float64) []byte {
	return binary.BigEndian.AppendUint64(nil, math.Float64bits(v))
}

// Moments on the wire, counted from the year 2000.
const (
	day    = 9530                                // 2026-02-03
	clock  = ((4*60+5)*60+6)*1_000_000 + 789_000 // 04:05:06.789
	moment = day*24*60*60*1_000_000 + clock      // both
	span   = ((3*60+4)*60+5)*1_000_000 + 600_000 // 03:04:05.6
	zone   = -(5*60 + 30) * 60                   // seconds west of Greenwich
)

var (
	price      = []byte{0, 2, 0, 0, 0, 0, 0, 2, 1249 >> 8, 1249 & 0xff, 5000 >> 8, 5000 & 0xff} // 1249.50
	noNumber   = []byte{0, 0, 0, 0, 0xc0, 0, 0, 0}
	document   = []byte(`{"n":1,"d":1.50,"big":18446744073709551615,"bigger":18446744073709551616,"s":"é\n","l":[true,null,{}]}`)
	pyDocument = `{'n': 1, 'd': 1.5, 'big': 18446744073709551615, 'bigger': %s, 's': 'é\n', 'l': [True, None, {}]}`
)

var goldenRows = []goldenRow{
	{
		name: "numbers",
		cells: []cell{
			{"bool", 16, []byte{1}}, {"int2", 21, i16(-32768)}, {"int4", 23, i32(-1)}, {"int8", 20, i64(1<<53 + 1)},
			{"oid", 26, i32(-1)},
			{"float4", 700, f32(3.1415927)}, {"float8", 701, f64(0.1)}, {"nan", 701, f64(math.NaN())},
			{"inf", 700, f32(float32(math.Inf(-1)))},
			{"numeric", 1700, price}, {"nothing", 1700, nil},
		},
		json:   `{'bool': True, 'int2': -32768, 'int4': -1, 'int8': 9007199254740993, 'oid': '4294967295', 'float4': 3.1415927, 'float8': 0.1, 'nan': 'NaN', 'inf': '-Infinity', 'numeric': 1249.5, 'nothing': None}`,
		packed: `{'bool': True, 'int2': -32768, 'int4': -1, 'int8': 9007199254740993, 'oid': 4294967295, 'float4': 3.1415927410125732, 'float8': 0.1, 'nan': nan, 'inf': -inf, 'numeric': '1249.50', 'nothing': None}`,
		hash:   `['bool', 'true', 'int2', '-32768', 'int4', '-1', 'int8', '9007199254740993', 'oid', '4294967295', 'float4', '3.1415927', 'float8', '0.1', 'nan', 'NaN', 'inf', '-Infinity', 'numeric', '1249.50']`,
	},
	{
		name: "texts and times",
		cells: []cell{
			{"text", 25, []byte(`Oak "é" 😀`)}, {"name", 19, []byte("n")}, {`"char"`, 18, []byte{0xff}},
			{"bytea", 17, []byte{0xde, 0xad, 0, 0xff}}, {"uuid", 2950, []byte("0123456789abcdef")},
			{"date", 1082, i32(day)}, {"time", 1083, i64(clock)}, {"timetz", 1266, append(i64(clock), i32(zone)...)},
			{"timestamp", 1114, i64(moment)}, {"timestamptz", 1184, i64(moment)}, {"never", 1184, i64(math.MaxInt64)},
			{"interval", 1186, append(append(i64(span), i32(-2)...), i32(1)...)},
		},
		json: `{'text': 'Oak "é" 😀', 'name': 'n', '"char"': '\\377', 'bytea': '\\xdead00ff', 'uuid': '30313233-3435-3637-3839-616263646566', 'date': '2026-02-03', 'time': '04:05:06.789', 'timetz': '04:05:06.789+05:30', ` +
			`'timestamp': '2026-02-03T04:05:06.789', 'timestamptz': '2026-02-03T04:05:06.789+00:00', 'never': 'infinity', 'interval': '1 mon -2 days +03:04:05.6'}`,
		packed: `{'text': 'Oak "é" 😀', 'name': 'n', '"char"': '\\377', 'bytea': b'\xde\xad\x00\xff', 'uuid': '30313233-3435-3637-3839-616263646566', 'date': '2026-02-03', 'time': '04:05:06.789', 'timetz': '04:05:06.789+05:30', ` +
			`'timestamp': '2026-02-03T04:05:06.789', 'timestamptz': '2026-02-03T04:05:06.789+00:00', 'never': 'infinity', 'interval': '1 mon -2 days +03:04:05.6'}`,
		hash: `['text', 'Oak "é" 😀', 'name', 'n', '"char"', '\\377', 'bytea', '\\xdead00ff', 'uuid', '30313233-3435-3637-3839-616263646566', 'date', '2026-02-03', 'time', '04:05:06.789', 'timetz', '04:05:06.789+05:30', ` +
			`'timestamp', '2026-02-03T04:05:06.789', 'timestamptz', '2026-02-03T04:05:06.789+00:00', 'never', 'infinity', 'interval', '1 mon -2 days +03:04:05.6']`,
	},
	{
		name: "documents and arrays",
		cells: []cell{
			{"json", 114, []byte(" [1, 2.0] ")}, {"jsonb", 3802, append([]byte{1}, document...)},
			{"null", 114, []byte("null")},
			{"int4[]", 1007, arrayBytes(23, i32(1), i32(-2))}, {"none", 1009, arrayBytes(25)},
			{"bytea[]", 1001, arrayBytes(17, []byte{1}, []byte{})},
			{"jsonb[]", 3807, arrayBytes(3802, []byte("\x01[1]"), []byte("\x01null"))},
		},
		json: `{'json': [1, 2.0], 'jsonb': ` + strings.Replace(pyDocument, "%s", "18446744073709551616", 1) +
			`, 'null': None, 'int4[]': [1, -2], 'none': [], 'bytea[]': ['\\x01', '\\x'], 'jsonb[]': [[1], None]}`,
		packed: `{'json': [1, 2.0], 'jsonb': ` + strings.Replace(pyDocument, "%s", "1.8446744073709552e19", 1) +
			`, 'null': None, 'int4[]': [1, -2], 'none': [], 'bytea[]': [b'\x01', b''], 'jsonb[]': [[1], None]}`,
		hash: `['json', '[1, 2.0]', 'jsonb', '{"n":1,"d":1.50,"big":18446744073709551615,"bigger":18446744073709551616,"s":"é\\n","l":[true,null,{}]}', ` +
			`'null', 'null', 'int4[]', '[1,-2]', 'none', '[]', 'bytea[]', '["\\\\x01","\\\\x"]', 'jsonb[]', '[[1],null]']`,
	},
	{name: "nothing", cells: []cell{{"a", 23, nil}, {"b", 1007, nil}}, json: `{'a': None, 'b': None}`,
		packed: `{'a': None, 'b': None}`, hash: `[]`},
}

var goldenScalars = []struct {
	name        string
	format      encode.Format
	compression encode.Compression
	col         store.Column
	raw         []byte
	python      string
}{
	{"a number", encode.JSON, encode.None, store.Column{OID: 1700}, price, "1249.5"},
	{"a number", encode.Msgpack, encode.None, store.Column{OID: 1700}, price, "'1249.50'"},
	{"a number", encode.CBOR, encode.None, store.Column{OID: 1700}, price, "'1249.50'"},
	{"a number", encode.Text, encode.None, store.Column{OID: 1700}, price, "'1249.50'"},
	{"no number", encode.Msgpack, encode.None, store.Column{OID: 1700}, noNumber, "'NaN'"},
	{"NULL", encode.JSON, encode.None, store.Column{OID: 25}, nil, "None"},
	{"NULL", encode.Msgpack, encode.None, store.Column{OID: 25}, nil, "None"},
	{"NULL", encode.CBOR, encode.None, store.Column{OID: 25}, nil, "None"},
	{"NULL", encode.Text, encode.None, store.Column{OID: 25}, nil, "''"},
	{"a page", encode.Text, encode.Gzip, store.Column{OID: 25}, []byte(strings.Repeat("<p>é</p>\n", 200)),
		`'<p>é</p>\n' * 200`},
	{"a page", encode.Text, encode.Zstd, store.Column{OID: 25}, []byte(strings.Repeat("<p>é</p>\n", 200)),
		`'<p>é</p>\n' * 200`},
	{"a page", encode.Msgpack, encode.Zstd, store.Column{OID: 25}, []byte(strings.Repeat("<p>é</p>\n", 200)),
		`'<p>é</p>\n' * 200`},
	{"a page", encode.CBOR, encode.Gzip, store.Column{OID: 25}, []byte(strings.Repeat("<p>é</p>\n", 200)),
		`'<p>é</p>\n' * 200`},
	{"larger than zstd's window", encode.JSON, encode.Zstd, store.Column{OID: 25}, []byte(strings.Repeat("x", 1<<20)),
		`'x' * 2**20`},
	{"too small to compress", encode.JSON, encode.Gzip, store.Column{OID: 25}, []byte("x"), "'x'"},
	{"too small to compress", encode.Text, encode.Zstd, store.Column{OID: 25}, []byte("x"), "'x'"},
}
