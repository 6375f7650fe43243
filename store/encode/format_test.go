package encode_test

import (
	"bytes"
	"encoding/hex"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"

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
		encode.JSON:    {"[]", `[{"a":1}]`, `[{"a":1},{"a":1},{"a":1}]`},
		encode.Msgpack: {"\xdd\x00\x00\x00\x00", "\xdd\x00\x00\x00\x01\x81\xa1a\x01", "\xdd\x00\x00\x00\x03\x81\xa1a\x01\x81\xa1a\x01\x81\xa1a\x01"},
		encode.CBOR:    {"\x9a\x00\x00\x00\x00", "\x9a\x00\x00\x00\x01\xa1aa\x01", "\x9a\x00\x00\x00\x03\xa1aa\x01\xa1aa\x01\xa1aa\x01"},
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
		encode.JSON: {"null", `"\"x"`}, encode.Msgpack: {"\xc0", "\xa2\"x"}, encode.CBOR: {"\xf6", "\x62\"x"}, encode.Text: {"", `"x`},
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

// TestMalformedBytesInAnyFormat: what JSON refuses, the others refuse in the same
// words, and leave dst alone.
func TestMalformedBytesInAnyFormat(t *testing.T) {
	for _, w := range wire {
		for _, oid := range []uint32{w.oid, w.array} {
			for _, raw := range [][]byte{{}, {1}, {1, 2, 3}, bytes.Repeat([]byte{0x7f}, 13), bytes.Repeat([]byte{0xff}, 40)} {
				wantSameError(t, oid, raw)
			}
		}
	}
}

func wantSameError(t *testing.T, oid uint32, raw []byte) {
	t.Helper()
	value, ok := encode.ForOID(oid)
	if !ok {
		return // of "unknown" there are no arrays
	}
	_, want := value(nil, raw)
	for _, format := range binaryFormats {
		cell, err := format.Cell(store.Column{Name: "c", OID: oid})
		if err != nil {
			t.Fatal(err)
		}
		out, err := cell([]byte("before"), raw)
		if oid == 114 || oid == 3802 { // JSON passes their text on unread
			if err == nil {
				t.Errorf("%s of OID %d took %x for %x", format, oid, raw, out)
			}
			continue
		}
		if (err == nil) != (want == nil) || err != nil && err.Error() != `column "c": `+want.Error() {
			t.Errorf("%s of OID %d, %x: %v; JSON has %v", format, oid, raw, err, want)
		}
		if err != nil && string(out) != "before" {
			t.Errorf("%s of OID %d, %x left %q", format, oid, raw, out)
		}
	}
}

// TestFixedAnswersPacked is TestFixedAnswers in the binary formats.
func TestFixedAnswersPacked(t *testing.T) {
	comparePacked(t, 1186, mustHex(t, "7fffffffffffffff7fffffff7fffffff"), []byte(`"infinity"`))
	comparePacked(t, 1007, mustHex(t, "000000010000000000000017"+"0000000000000001"), []byte(`[]`))
	comparePacked(t, 18, []byte{0xff}, []byte(`"\\377"`))
}

func mustHex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// FuzzPacked feeds the binary formats with any bytes. They refuse what JSON
// refuses; what they write, libraries read back, and in all formats it is the
// same.
func FuzzPacked(f *testing.F) {
	for _, w := range wire {
		for _, value := range w.values {
			raw := mustHex(f, value)
			f.Add(w.oid, raw)
			f.Add(w.array, arrayBytes(w.oid, raw, raw))
		}
	}
	f.Fuzz(func(t *testing.T, oid uint32, raw []byte) {
		value, ok := encode.ForOID(oid)
		if !ok || !bytes.Equal(bytes.ToValidUTF8(raw, nil), raw) && isText(oid, raw) {
			return // the libraries refuse text that is not UTF-8, which no Postgres sends
		}
		_, refused := value(nil, raw)
		var read []any
		for _, format := range binaryFormats {
			cell, err := format.Cell(store.Column{OID: oid})
			if err != nil {
				t.Fatal(err)
			}
			out, err := cell([]byte("before"), raw)
			if !bytes.HasPrefix(out, []byte("before")) || err != nil && len(out) != len("before") {
				t.Fatalf("what stood before is damaged: %q, %v", out, err)
			}
			if err == nil {
				read = append(read, unpack(t, format, out[len("before"):]))
			}
			if (err == nil) != (refused == nil) && !verbatim(oid, raw) {
				t.Fatalf("%s: %v, JSON: %v", format, err, refused)
			}
		}
		if len(read) == 1 || len(read) == 2 && !reflect.DeepEqual(inForm(encode.CBOR, read[0]), read[1]) {
			t.Fatalf("the formats differ:\n%s", cmp.Diff(read[0], read[1:]))
		}
	})
}

// isText tells whether a value's bytes are text. An array may carry text under
// another type's name.
func isText(oid uint32, raw []byte) bool {
	switch oid {
	case 19, 25, 114, 705, 1042, 1043, 3802:
		return true
	case 16, 17, 18, 20, 21, 23, 26, 700, 701, 1082, 1083, 1114, 1184, 1186, 1266, 1700, 2950:
		return false
	}
	return true
}
