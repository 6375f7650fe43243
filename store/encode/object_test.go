package encode_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/encode"
)

// fallback lists types without an encoder, as a job's query would have Postgres
// turn them into JSON, with an expression each that makes random values.
var fallback = []struct{ name, expr string }{
	{"an enum", `('{sad,ok,"very \"happy\""}'::mood[])[1 + floor(random() * 3)::int]`},
	{"a composite", `ROW(random(), md5(random()::text), NULL)::pair`},
	{"a range", `int4range((random() * 10)::int, 11 + (random() * 10)::int)`},
	{"an inet", `'10.0.0.0'::inet + (random() * 1000)::int`},
	{"an enum[]", `ARRAY['sad', NULL]::mood[]`},
	{"a record", `ROW(1, 'a"b', g)`},
	{"bits", `(random() * 255)::int::bit(8)`},
	{"a point", `point(random(), random())`},
}

// TestRowsLikeRowToJSON compares whole rows of all types, encoded here and by
// Postgres, in the shape in which a job's query runs.
func TestRowsLikeRowToJSON(t *testing.T) {
	conn := connect(t)
	seeded(t, conn)
	run(t, conn, `CREATE TYPE mood AS ENUM ('sad', 'ok', 'very "happy"'); CREATE TYPE pair AS (a float8, "b""c" text, d int)`)
	var inner, outer []string
	for _, r := range random {
		name := quoteName(r.typ + ` "é\` + "\t")
		inner = append(inner, fmt.Sprintf(`(CASE WHEN random() < .1 THEN NULL ELSE %s END)::%s AS %s`, r.expr, r.typ,
			name))
		outer = append(outer, "r."+name)
	}
	for _, f := range fallback {
		name := quoteName(f.name)
		inner = append(inner, fmt.Sprintf(`CASE WHEN random() < .1 THEN NULL ELSE %s END AS %s`, f.expr, name))
		outer = append(outer, fmt.Sprintf("to_json(r.%s) AS %s", name, name))
	}
	compareRows(t, conn, fmt.Sprintf(`SELECT %s, row_to_json(r)::text FROM (SELECT %s FROM generate_series(1, 500) g OFFSET 0) r`,
		strings.Join(outer, ", "), strings.Join(inner, ", ")), 500)
}

func TestDuplicateNames(t *testing.T) {
	conn := connect(t)
	compareRows(t, conn, `SELECT 1 AS a, 'x' AS b, NULL::text AS a, (SELECT row_to_json(r)::text FROM (SELECT 1 AS a, 'x' AS b, NULL::text AS a) r)`, 1)
}

// compareRows holds AppendRow over all columns but the last to that last one.
func compareRows(t *testing.T, conn *pgconn.PgConn, sql string, wantRows int) {
	t.Helper()
	var object *encode.Object
	var buf []byte
	rows := query(t, conn, sql, func(cols []store.Column, row store.Row) {
		last := len(cols) - 1
		if object == nil {
			var err error
			if object, err = encode.JSON.NewObject(cols[:last]); err != nil {
				t.Fatal(err)
			}
		}
		var err error
		buf, err = object.AppendRow(append(buf[:0], "before"...), row[:last])
		got, ok := bytes.CutPrefix(buf, []byte("before"))
		if err != nil || !ok || !bytes.Equal(got, row[last]) {
			t.Errorf("\n got %s (%v)\nwant %s", buf, err, row[last])
		}
	})
	if rows != wantRows {
		t.Errorf("%d rows were compared, not %d", rows, wantRows)
	}
}

func quoteName(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }

func TestUnknownTypeNamesColumn(t *testing.T) {
	cols := []store.Column{{Name: "id", OID: 23}, {Name: "mood", OID: 99999, Type: "shop.mood"}}
	_, err := encode.JSON.NewObject(cols)
	wantError(t, err, `column "mood": type shop.mood has no encoder`)
	_, err = encode.JSON.Cell(store.Column{Name: "mood", OID: 99999})
	wantError(t, err, `column "mood": type OID 99999 has no encoder`)
	for _, oid := range []uint32{0, 142, 790, 869, 1005 + 1, 2249, 3904, 1 << 31} {
		if _, ok := encode.ForOID(oid); ok {
			t.Errorf("OID %d has an encoder", oid)
		}
		if _, ok := encode.KeyText(oid); ok {
			t.Errorf("OID %d has a key text", oid)
		}
	}
}

func TestRowErrorsNameColumn(t *testing.T) {
	object, err := encode.JSON.NewObject([]store.Column{{Name: "id", OID: 23}, {Name: "price", OID: 1700}})
	if err != nil {
		t.Fatal(err)
	}
	before := []byte("before")
	out, err := object.AppendRow(before, store.Row{{0, 0, 0, 1}, {1, 2, 3}})
	wantError(t, err, `column "price": malformed numeric: no room for its head`)
	if !bytes.Equal(out, before) {
		t.Errorf("a failed row left %q", out)
	}
	if wire, ok := errors.AsType[*encode.WireError](err); !ok || wire.Type != "numeric" {
		t.Errorf("no WireError of numeric in %v", err)
	}
	_, err = object.AppendRow(nil, store.Row{nil})
	wantError(t, err, "row has 1 cells, not 2")

	cell, err := encode.JSON.Cell(store.Column{Name: "tags", OID: 1009})
	if err != nil {
		t.Fatal(err)
	}
	_, err = cell(nil, []byte{1})
	wantError(t, err, `column "tags": malformed text[]: no room for its head`)
}

func TestNoColumns(t *testing.T) {
	object, err := encode.JSON.NewObject(nil)
	if err != nil {
		t.Fatal(err)
	}
	if out, err := object.AppendRow(nil, nil); err != nil || string(out) != "{}" {
		t.Errorf("got %s, %v", out, err)
	}
}

func wantError(t *testing.T, err error, want string) {
	t.Helper()
	if err == nil || err.Error() != want {
		t.Errorf("\n got %v\nwant %s", err, want)
	}
}
