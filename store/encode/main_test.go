package encode_test

import (
	"bytes"
	"context"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/encode"
	"github.com/stokerhq/stoker/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

// connect opens a session on a fresh database, with the settings that the
// package's promise is about.
func connect(t testing.TB) *pgconn.PgConn {
	t.Helper()
	config, err := pgconn.ParseConfig(storetest.Postgres(t))
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{
		"timezone": "UTC", "datestyle": "ISO", "intervalstyle": "postgres",
		"bytea_output": "hex", "extra_float_digits": "1", "client_encoding": "UTF8",
	} {
		config.RuntimeParams[name] = value
	}
	conn, err := pgconn.ConnectConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

// run executes statements that return nothing of interest.
func run(t testing.TB, conn *pgconn.PgConn, sql string) {
	t.Helper()
	if _, err := conn.Exec(context.Background(), sql).ReadAll(); err != nil {
		t.Fatalf("%v\nin: %s", err, sql)
	}
}

// query runs one statement with binary results and hands each row to f. Binary
// parameters may come with it.
func query(t testing.TB, conn *pgconn.PgConn, sql string, f func(cols []store.Column, row store.Row),
	params ...[]byte) int {
	t.Helper()
	formats := make([]int16, len(params))
	for i := range formats {
		formats[i] = 1
	}
	reader := conn.ExecParams(context.Background(), sql, params, nil, formats, []int16{1})
	var cols []store.Column
	for _, fd := range reader.FieldDescriptions() {
		cols = append(cols, store.Column{Name: fd.Name, OID: fd.DataTypeOID})
	}
	rows := 0
	for reader.NextRow() {
		if cols == nil {
			for _, fd := range reader.FieldDescriptions() {
				cols = append(cols, store.Column{Name: fd.Name, OID: fd.DataTypeOID})
			}
		}
		rows++
		f(cols, reader.Values())
	}
	if _, err := reader.Close(); err != nil {
		t.Fatalf("%v\nin: %s", err, sql)
	}
	return rows
}

// compare holds the encoders of column v of a subquery to the server's own JSON
// and key text, and returns how many rows it saw.
func compare(t *testing.T, conn *pgconn.PgConn, subquery string, params ...[]byte) int {
	t.Helper()
	var (
		cell     func(dst, raw []byte) ([]byte, error)
		key      encode.Append
		buf      []byte
		failures int
	)
	return query(t, conn, `SELECT v, to_json(v)::text, to_json(v) #>> '{}' FROM (`+subquery+`) s`,
		func(cols []store.Column, row store.Row) {
			if cell == nil {
				cell, key = encoders(t, cols[0])
			}
			if failures == 10 { // enough to see what is wrong
				return
			}
			wantJSON, wantKey := row[1], keyText(cols[0].OID, row)
			if row[0] == nil {
				wantJSON = []byte("null")
			}
			var err error
			if buf, err = cell(buf[:0], row[0]); err != nil || !bytes.Equal(buf, wantJSON) {
				failures++
				t.Errorf("OID %d, wire %x:\n got %s (%v)\nwant %s", cols[0].OID, row[0], buf, err, wantJSON)
			}
			comparePacked(t, cols[0].OID, row[0], wantJSON)
			if row[0] == nil {
				return
			}
			if buf, err = key(buf[:0], row[0]); err != nil || !bytes.Equal(buf, wantKey) {
				failures++
				t.Errorf("key text of OID %d, wire %x:\n got %q (%v)\nwant %q", cols[0].OID, row[0], buf, err, wantKey)
			}
		}, params...)
}

func encoders(t *testing.T, col store.Column) (func(dst, raw []byte) ([]byte, error), encode.Append) {
	t.Helper()
	cell, err := encode.JSON.Cell(col)
	if err != nil {
		t.Fatal(err)
	}
	key, ok := encode.KeyText(col.OID)
	if !ok {
		t.Fatalf("OID %d has JSON but no key text", col.OID)
	}
	return cell, key
}

// keyText is the server's key text, but for the two corners of json in which
// KeyText says that it differs: null, and blanks (of which Postgres drops the
// trailing ones only).
func keyText(oid uint32, row store.Row) []byte {
	want := row[2]
	if want == nil {
		return []byte("null")
	}
	if oid == 114 && !bytes.HasPrefix(bytes.TrimSpace(row[0]), []byte(`"`)) {
		return bytes.TrimSpace(want)
	}
	return want
}
