package encode_test

import (
	"bytes"
	"encoding/hex"
	"testing"

	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/encode"
)

var binaryFormats = []encode.Format{encode.Msgpack, encode.CBOR}

// twice is a row with a name that comes twice and a NULL.
var twice = struct {
	cols []store.Column
	row  store.Row
}{
	[]store.Column{{Name: "a", OID: 23}, {Name: "b", OID: 25}, {Name: "a", OID: 25}, {Name: "é", OID: 16}},
	store.Row{{0, 0, 0, 1}, []byte("x"), nil, {1}},
}

func TestObjects(t *testing.T) {
	for format, want := range map[encode.Format]string{
		encode.JSON:    hex.EncodeToString([]byte(`{"a":1,"b":"x","a":null,"é":true}`)),
		encode.Msgpack: "84" + "a16101" + "a162a178" + "a161c0" + "a2c3a9c3",
		encode.CBOR:    "a4" + "616101" + "61626178" + "6161f6" + "62c3a9f5",
	} {
		o, err := format.NewObject(twice.cols)
		if err != nil {
			t.Fatal(err)
		}
		if got := appendRow(t, o, twice.row); hex.EncodeToString(got) != want {
			t.Errorf("%s:\n got %x\nwant %s", format, got, want)
		}
	}
}

// appendRow returns what is appended, behind what was there.
func appendRow(t *testing.T, to rowEncoder, row store.Row) []byte {
	t.Helper()
	out, err := to.AppendRow([]byte("before"), row)
	if err != nil {
		t.Fatal(err)
	}
	out, ok := bytes.CutPrefix(out, []byte("before"))
	if !ok {
		t.Fatalf("what stood before is damaged: %q", out)
	}
	return out
}

func TestObjectsWithoutColumns(t *testing.T) {
	for format, want := range map[encode.Format]string{encode.JSON: "{}", encode.Msgpack: "\x80", encode.CBOR: "\xa0"} {
		o, err := format.NewObject(nil)
		if err != nil {
			t.Fatal(err)
		}
		if out := appendRow(t, o, nil); string(out) != want {
			t.Errorf("%s: got %q", format, out)
		}
	}
}

func TestArraysOfObjects(t *testing.T) {
	for format, want := range map[encode.Format][]string{
		encode.JSON: {"[]", `[{"a":1}]`, `[{"a":1},{"a":1},{"a":1}]`},
		encode.Msgpack: {"\xdd\x00\x00\x00\x00", "\xdd\x00\x00\x00\x01\x81\xa1a\x01",
			"\xdd\x00\x00\x00\x03\x81\xa1a\x01\x81\xa1a\x01\x81\xa1a\x01"},
		encode.CBOR: {"\x9a\x00\x00\x00\x00", "\x9a\x00\x00\x00\x01\xa1aa\x01",
			"\x9a\x00\x00\x00\x03\xa1aa\x01\xa1aa\x01\xa1aa\x01"},
	} {
		for i, n := range []int{0, 1, 3} {
			if got := arrayOfOnes(t, format, n); string(got) != want[i] {
				t.Errorf("%s of %d: got %q, want %q", format, n, got, want[i])
			}
		}
	}
	for _, format := range binaryFormats {
		if got := unpack(t, format, arrayOfOnes(t, format, 70_000)); len(got.([]any)) != 70_000 {
			t.Errorf("%s: %d objects were read", format, len(got.([]any)))
		}
	}
}

// arrayOfOnes frames n rows as the worker does.
func arrayOfOnes(t *testing.T, format encode.Format, n int) []byte {
	t.Helper()
	o, err := format.NewObject([]store.Column{{Name: "a", OID: 21}})
	if err != nil {
		t.Fatal(err)
	}
	at := len("before")
	dst := format.OpenArray([]byte("before"))
	for i := range n {
		if i > 0 {
			dst = format.Separate(dst)
		}
		if dst, err = o.AppendRow(dst, store.Row{{0, 1}}); err != nil {
			t.Fatal(err)
		}
	}
	return format.CloseArray(dst, at, n)[at:]
}

func TestCells(t *testing.T) {
	col := store.Column{Name: "a", OID: 25}
	for format, want := range map[encode.Format][2]string{
		encode.JSON: {"null", `"\"x"`}, encode.Msgpack: {"\xc0", "\xa2\"x"}, encode.CBOR: {"\xf6", "\x62\"x"},
		encode.Text: {"", `"x`},
	} {
		cell, err := format.Cell(col)
		if err != nil {
			t.Fatal(err)
		}
		for i, raw := range [][]byte{nil, []byte(`"x`)} {
			if out, err := cell([]byte("b"), raw); err != nil || string(out) != "b"+want[i] {
				t.Errorf("%s of %q: %q, %v; want %q", format, raw, out, err, want[i])
			}
		}
	}
}

func TestWrongFormats(t *testing.T) {
	_, err := encode.Format("xml").NewObject(nil)
	wantError(t, err, `format "xml" is not one of json, msgpack, cbor, text`)
	_, err = encode.Format("").Cell(store.Column{OID: 23})
	wantError(t, err, `format "" is not one of json, msgpack, cbor, text`)
	_, err = encode.Text.NewObject(nil)
	wantError(t, err, "format text has no objects: it is for single columns")
	unknown := store.Column{Name: "mood", OID: 99999, Type: "shop.mood"}
	for _, format := range []encode.Format{encode.JSON, encode.Msgpack, encode.CBOR, encode.Text} {
		_, err = format.Cell(unknown)
		wantError(t, err, `column "mood": type shop.mood has no encoder`)
		if format == encode.Text {
			continue
		}
		_, err = format.NewObject([]store.Column{unknown})
		wantError(t, err, `column "mood": type shop.mood has no encoder`)
	}
	_, err = encode.NewHash([]store.Column{unknown})
	wantError(t, err, `column "mood": type shop.mood has no encoder`)
}
