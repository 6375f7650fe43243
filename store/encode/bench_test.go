package encode_test

import (
	"maps"
	"slices"
	"testing"

	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/encode"
)

// productRow is a typical row of a shop: nine columns of different types, and its
// JSON.
func productRow(t testing.TB) (product []store.Column, cells store.Row, want []byte) {
	t.Helper()
	query(t, connect(t), `SELECT r.*, row_to_json(r)::text FROM (
		SELECT 8123456789::bigint AS id, 'SKU-00042-B' AS sku, 'Oak "Classic" table, 120 × 80 cm'::text AS name, 1249.50::numeric(10,2) AS price,
			17 AS stock, '{furniture,oak,"living room"}'::text[] AS tags, timestamptz '2026-02-03 04:05:06.789+00' AS updated_at, true AS active,
			'{"width": 120, "depth": 80, "colours": ["oak", "walnut"]}'::jsonb AS attributes) r`,
		func(cols []store.Column, row store.Row) {
			last := len(cols) - 1
			product = cols[:last]
			for _, cell := range row[:last] {
				cells = append(cells, slices.Clone(cell))
			}
			want = slices.Clone(row[last])
		})
	return product, cells, want
}

// rowEncoder is an Object or a Hash.
type rowEncoder interface {
	AppendRow(dst []byte, row store.Row) ([]byte, error)
}

// rowEncoders returns all there are for rows with these columns.
func rowEncoders(t testing.TB, cols []store.Column) map[string]rowEncoder {
	t.Helper()
	all := map[string]rowEncoder{}
	for _, format := range []encode.Format{encode.JSON, encode.Msgpack, encode.CBOR} {
		object, err := format.NewObject(cols)
		if err != nil {
			t.Fatal(err)
		}
		all[string(format)] = object
	}
	object, err := encode.JSON.NewObject(cols)
	if err != nil {
		t.Fatal(err)
	}
	all[string(encode.JSON)+" enveloped"] = enveloped{object, encode.NewEnvelope()}
	hash, err := encode.NewHash(cols)
	if err != nil {
		t.Fatal(err)
	}
	all["hash"] = hash
	return all
}

func TestRowAllocatesNothing(t *testing.T) {
	cols, row, want := productRow(t)
	buf := make([]byte, 0, 4096)
	for name, encoder := range rowEncoders(t, cols) {
		allocs := testing.AllocsPerRun(1000, func() {
			var err error
			if buf, err = encoder.AppendRow(buf[:0], row); err != nil {
				t.Fatal(err)
			}
		})
		if allocs != 0 {
			t.Errorf("%s: %v allocations a row", name, allocs)
		}
		if name == "json" && string(buf) != string(want) {
			t.Errorf("\n got %s\nwant %s", buf, want)
		}
	}
}

// TestValuesAllocateNothing covers the types that the product has not.
func TestValuesAllocateNothing(t *testing.T) {
	conn := connect(t)
	buf := make([]byte, 0, 1<<18)
	for _, h := range hard {
		for _, literal := range h.values[:min(3, len(h.values))] {
			query(t, conn, "SELECT "+quoteLiteral(literal)+"::"+h.typ, func(cols []store.Column, row store.Row) {
				value, _ := encode.ForOID(cols[0].OID)
				key, _ := encode.KeyText(cols[0].OID)
				packed, err := encode.Msgpack.Cell(cols[0])
				if err != nil {
					t.Fatal(err)
				}
				inCBOR, err := encode.CBOR.Cell(cols[0])
				if err != nil {
					t.Fatal(err)
				}
				allocs := testing.AllocsPerRun(10, func() {
					value(buf, row[0])
					key(buf, row[0])
					packed(buf, row[0])
					inCBOR(buf, row[0])
				})
				if allocs != 0 {
					t.Errorf("%s %q: %v allocations", h.typ, literal, allocs)
				}
			})
		}
	}
}

func BenchmarkRow(b *testing.B) {
	cols, row, _ := productRow(b)
	buf := make([]byte, 0, 4096)
	encoders := rowEncoders(b, cols)
	for _, name := range slices.Sorted(maps.Keys(encoders)) {
		b.Run(name, func(b *testing.B) {
			encoder := encoders[name]
			b.ReportAllocs()
			for b.Loop() {
				var err error
				if buf, err = encoder.AppendRow(buf[:0], row); err != nil {
					b.Fatal(err)
				}
			}
			b.SetBytes(int64(len(buf)))
		})
	}
}

func BenchmarkValue(b *testing.B) {
	conn := connect(b)
	buf := make([]byte, 0, 4096)
	for _, bench := range []struct{ typ, literal string }{
		{"int8", "8123456789"}, {"numeric", "1249.50"}, {"float8", "0.30000000000000004"}, {"float8", "1249.5"},
		{"float4", "3.14159"},
		{"text", `a line of "plain" text, as long as a product's name or two`},
		{"timestamptz", "2026-02-03 04:05:06.789+00"}, {"date", "2026-02-03"},
		{"uuid", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"}, {"interval", "1 mon -2 days 03:04:05.6"},
		{"int4[]", "{1,2,3,4,5,6,7,8}"}, {"int4[]", "{{1,2},{3,4},{5,6},{7,8}}"},
		{"jsonb", `{"width": 120, "depth": 80.5, "colours": ["oak", "walnut"]}`},
	} {
		query(b, conn, "SELECT "+quoteLiteral(bench.literal)+"::"+bench.typ, func(cols []store.Column, row store.Row) {
			raw := slices.Clone(row[0])
			for _, format := range []encode.Format{encode.JSON, encode.Msgpack, encode.CBOR} {
				value, err := format.Cell(cols[0])
				if err != nil {
					b.Fatal(err)
				}
				b.Run(bench.typ+" "+bench.literal+" "+string(format), func(b *testing.B) {
					b.ReportAllocs()
					for b.Loop() {
						value(buf, raw)
					}
				})
			}
		})
	}
}
