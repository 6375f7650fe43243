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

// TestMalformedBytesInAnyFormat: what JSON refuses, the others refuse in the same
// words, and leave dst alone.
func TestMalformedBytesInAnyFormat(t *testing.T) {
	for _, w := range wire {
		for _, oid := range []uint32{w.oid, w.array} {
			for _, raw := range [][]byte{{}, {1}, {1, 2, 3}, bytes.Repeat([]byte{0x7f}, 13),
				bytes.Repeat([]byte{0xff}, 40)} {
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
