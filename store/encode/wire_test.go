package encode_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"testing"

	"github.com/stokerhq/stoker/store/encode"
)

// wire lists every type that is encoded from its bytes, with some right values.
var wire = []struct {
	oid    uint32
	array  uint32
	values []string // in hex
}{
	{16, 1000, []string{"00", "01"}},
	{17, 1001, []string{"", "deadbeef"}},
	{18, 1002, []string{"00", "41", "ff"}},
	{19, 1003, []string{"", "6122"}},
	{20, 1016, []string{"8000000000000000"}},
	{21, 1005, []string{"8000"}},
	{23, 1007, []string{"ffffffff"}},
	{25, 1009, []string{"", "610a5c22e282ac"}},
	{26, 1028, []string{"ffffffff"}},
	{114, 199, []string{"7b7d", "225c75643833645c756465303022", "206e756c6c20"}},
	{700, 1021, []string{"7fc00000", "39800000", "00000001"}},
	{701, 1022, []string{"fff0000000000000", "44b52d02c7e14af6", "3fb999999999999a"}},
	{705, 0, []string{"61"}},
	{1042, 1014, []string{"6120"}},
	{1043, 1015, []string{"61"}},
	{1082, 1182, []string{"7fffffff", "ffda97a7", "00000000"}},
	{1083, 1183, []string{"000000141dd76000"}},
	{1114, 1115, []string{"8000000000000000", "fd0f7e5ee8c48000"}},
	{1184, 1185, []string{"7fffffffffffffff", "0000000000000001"}},
	{1186, 1187, []string{"80000000000000008000000080000000", "ffffffffffffffff0000000100000001",
		"80000000000000008000000080000001"}},
	{1266, 1270, []string{"0000000000000000ffff1f01"}},
	{1700, 1231, []string{"0000000000000000", "00020000400000020001157c", "00000000c0000000", "00017fff00003fff0001"}},
	{2950, 2951, []string{"000102030405060708090a0b0c0d0e0f"}},
	{3802, 3807, []string{"016e756c6c", "0122616222"}},
}

func arrayBytes(elem uint32, values ...[]byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, 1)
	for _, n := range []uint32{0, elem, uint32(len(values)), 1} {
		b = binary.BigEndian.AppendUint32(b, n)
	}
	for _, v := range values {
		b = append(binary.BigEndian.AppendUint32(b, uint32(len(v))), v...)
	}
	return b
}

// FuzzAppend feeds every decoder with any bytes: it may refuse them, but it
// must not panic, write out of bounds, or write what is no JSON.
func FuzzAppend(f *testing.F) {
	for _, w := range wire {
		for _, value := range w.values {
			raw, err := hex.DecodeString(value)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(w.oid, raw)
			if w.array != 0 {
				f.Add(w.array, arrayBytes(w.oid, raw, raw))
			}
		}
	}
	f.Fuzz(func(t *testing.T, oid uint32, raw []byte) {
		value, ok := encode.ForOID(oid)
		if !ok {
			return
		}
		key, _ := encode.KeyText(oid)
		sent := bytes.Clone(raw)
		for _, encoder := range []encode.Append{value, key} {
			out, err := encoder([]byte("before"), raw)
			if !bytes.HasPrefix(out, []byte("before")) || err != nil && len(out) != len("before") {
				t.Fatalf("what stood before is damaged: %q, %v", out, err)
			}
			if wire, ok := errors.AsType[*encode.WireError](err); err != nil && (!ok || wire.Type == "") {
				t.Fatalf("the error names no type: %v", err)
			}
		}
		if !bytes.Equal(raw, sent) {
			t.Fatal("the wire bytes were changed")
		}
		if out, err := value(nil, raw); err == nil && !verbatim(oid, raw) && !json.Valid(out) {
			t.Fatalf("OID %d, %x: no JSON: %.200s", oid, raw, out)
		}
	})
}

// verbatim tells whether JSON in the wire bytes is passed on unread. An array
// may carry it under another type's name.
func verbatim(oid uint32, raw []byte) bool {
	switch oid {
	case 114, 3802:
		return true
	}
	return len(raw) >= 12 && (binary.BigEndian.Uint32(raw[8:]) == 114 || binary.BigEndian.Uint32(raw[8:]) == 3802)
}

func TestMalformedBytes(t *testing.T) {
	head := func(ndim, elem uint32, dims ...uint32) string {
		b := binary.BigEndian.AppendUint32(nil, ndim)
		b = binary.BigEndian.AppendUint32(b, 0)
		b = binary.BigEndian.AppendUint32(b, elem)
		for _, d := range dims {
			b = binary.BigEndian.AppendUint32(b, d)
			b = binary.BigEndian.AppendUint32(b, 1)
		}
		return hex.EncodeToString(b)
	}
	for _, tt := range []struct {
		oid  uint32
		raw  string
		want string
	}{
		{16, "", "malformed bool: 0 bytes, not 1"},
		{18, "4142", `malformed "char": 2 bytes, not 1`},
		{20, "00000001", "malformed int8: 4 bytes, not 8"},
		{23, "0000000001", "malformed int4: 5 bytes, not 4"},
		{701, "00", "malformed float8: 1 bytes, not 8"},
		{1082, "7ffffffe", "malformed date: out of range"},
		{1082, "80000001", "malformed date: out of range"},
		{1083, "ffffffffffffffff", "malformed time: out of range"},
		{1114, "7ffffffffffffffe", "malformed timestamp: out of range"},
		{1184, "8000000000000001", "malformed timestamptz: out of range"},
		{1186, "00", "malformed interval: 1 bytes, not 16"},
		{1266, "00000000000000007fffffff", "malformed timetz: out of range"},
		{1700, "00", "malformed numeric: no room for its head"},
		{1700, "7fff000000000000", "malformed numeric: digits announced are not those sent"},
		{1700, "00010000000000002710", "malformed numeric: a digit above 9999"},
		{1700, "0001000100000000" + "0000", "malformed numeric: a leading zero"},
		{1700, "0000000100000000", "malformed numeric: a leading zero"},
		{1700, "0000000000004000", "malformed numeric: scale too large"},
		{1700, "0000000012340000", "malformed numeric: unknown sign"},
		{2950, "00", "malformed uuid: 1 bytes, not 16"},
		{3802, "", "malformed jsonb: no version 1 before the text"},
		{3802, "027b7d", "malformed jsonb: no version 1 before the text"},
		{1007, "00", "malformed int4[]: no room for its head"},
		{1007, head(7, 23), "malformed int4[]: more than 6 dimensions"},
		{1007, head(0xffffffff, 23), "malformed int4[]: more than 6 dimensions"},
		{1007, head(2, 23, 1), "malformed int4[]: no room for its dimensions"},
		{1007, head(1, 23, 0xffffffff), "malformed int4[]: more elements announced than sent"},
		{1007, head(1, 23, 1), "malformed int4[]: more elements announced than sent"},
		{1007, head(3, 23, 0x7fffffff, 0x7fffffff, 0x7fffffff), "malformed int4[]: more elements announced than sent"},
		{1007, head(1, 600, 1) + "00000000", "malformed int4[]: elements of type 600"},
		{1007, head(1, 1007, 1) + "00000000", "malformed int4[]: elements of type 1007"},
		{1007, head(1, 23, 1) + "0000000400", "malformed int4[]: an element longer than the rest"},
		{1007, head(1, 23, 1) + "fffffffe", "malformed int4[]: an element longer than the rest"},
		{1007, head(1, 23, 2) + "0000000400000001", "malformed int4[]: an element longer than the rest"},
		{1007, head(1, 23, 1) + "0000000300", "malformed int4[]: an element longer than the rest"},
		{1007, head(1, 23, 1) + "00000002ffff", "malformed int4[]: malformed int4: 2 bytes, not 4"},
		{1007, head(1, 23, 1) + "ffffffff00", "malformed int4[]: bytes after its end"},
		{1007, head(0, 23) + "00", "malformed int4[]: bytes after its end"},
	} {
		raw, err := hex.DecodeString(tt.raw)
		if err != nil {
			t.Fatal(err)
		}
		value, _ := encode.ForOID(tt.oid)
		_, err = value(nil, raw)
		wantError(t, err, tt.want)
	}
}

// TestWrongLengths cuts and lengthens the right bytes of types of fixed length.
func TestWrongLengths(t *testing.T) {
	for _, w := range wire {
		switch w.oid {
		case 17, 19, 25, 114, 705, 1042, 1043, 3802:
			continue // of any length
		}
		value, _ := encode.ForOID(w.oid)
		raw, err := hex.DecodeString(w.values[0])
		if err != nil {
			t.Fatal(err)
		}
		for _, wrong := range [][]byte{{}, raw[:len(raw)-1], append(raw, 0)} {
			if out, err := value(nil, wrong); err == nil {
				t.Errorf("OID %d took %x for %s", w.oid, wrong, out)
			}
		}
	}
}

func TestMalformedKeyText(t *testing.T) {
	for raw, want := range map[string]string{
		`"a`:             "a string without its end",
		`"`:              "a string without its end",
		`"a\`:            "a string without its end",
		`"a"b`:           "text after a string",
		`"\q"`:           "an unknown escape",
		`"\u0000"`:       `an escape \u that is no character`,
		`"\ud83d"`:       `an escape \u that is no character`,
		`"\ude00\ud83d"`: `an escape \u that is no character`,
		`"\u12"`:         `an escape \u that is no character`,
		`"\u12g4"`:       `an escape \u that is no character`,
		`"\u`:            `an escape \u that is no character`,
	} {
		key, _ := encode.KeyText(114)
		out, err := key([]byte("k:"), []byte(raw))
		wantError(t, err, "malformed json: "+want)
		if string(out) != "k:" {
			t.Errorf("%s left %q", raw, out)
		}
	}
}

// TestFixedAnswers pins what no Postgres here can be asked: the infinite
// intervals of 17, and the lying zero dimensions that none sends.
func TestFixedAnswers(t *testing.T) {
	for _, tt := range []struct {
		oid       uint32
		raw, want string
	}{
		{1186, "7fffffffffffffff7fffffff7fffffff", `"infinity"`},
		{1186, "80000000000000008000000080000000", `"-infinity"`},
		{1007, "000000010000000000000017" + "0000000000000001", "[]"},
	} {
		raw, err := hex.DecodeString(tt.raw)
		if err != nil {
			t.Fatal(err)
		}
		value, _ := encode.ForOID(tt.oid)
		if out, err := value(nil, raw); err != nil || string(out) != tt.want {
			t.Errorf("OID %d, %s: got %s, %v, want %s", tt.oid, tt.raw, out, err, tt.want)
		}
	}
}
