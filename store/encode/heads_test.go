package encode_test

import (
	"bytes"
	"encoding/binary"
	"math"
	"testing"

	"github.com/fxamacker/cbor/v2"
	"github.com/vmihailenco/msgpack/v5"

	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/encode"
)

// TestShortestForms holds integers and lengths around every limit to what the
// libraries write in their most compact modes.
func TestShortestForms(t *testing.T) {
	for _, shift := range []int{0, 4, 5, 7, 8, 15, 16, 31, 32, 63} {
		for _, v := range []int64{1<<shift - 1, 1 << shift, 1<<shift + 1, 24, 23, -24, -25, math.MinInt64} {
			for _, v := range []int64{v, -v} {
				wantForms(t, 20, binary.BigEndian.AppendUint64(nil, uint64(v)), v)
			}
		}
	}
	wantForms(t, 114, []byte("9223372036854775808"), uint64(1<<63))
	wantForms(t, 114, []byte("18446744073709551615"), uint64(math.MaxUint64))
	for _, n := range []int{0, 1, 15, 16, 23, 24, 31, 32, 255, 256, 65535, 65536, 100_000} {
		content := bytes.Repeat([]byte("x"), n)
		wantForms(t, 25, content, string(content))
		wantForms(t, 17, content, content)
		wantForms(t, 114, append(append([]byte(`"`), content...), '"'), string(content))
		wantForms(t, 1005, arrayBytes(21, repeat(n, []byte{0, 7})...), repeat(n, 7))
		wantForms(t, 114, append(append([]byte("["), bytes.TrimSuffix(bytes.Repeat([]byte("7,"), n), []byte(","))...),
			']'), repeat(n, 7))
	}
}

func repeat[T any](n int, v T) []T {
	all := make([]T, n)
	for i := range all {
		all[i] = v
	}
	return all
}

func wantForms(t *testing.T, oid uint32, raw []byte, v any) {
	t.Helper()
	var packed bytes.Buffer
	e := msgpack.NewEncoder(&packed)
	e.UseCompactInts(true)
	if err := e.Encode(v); err != nil {
		t.Fatal(err)
	}
	inCBOR, err := cbor.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	for format, want := range map[encode.Format][]byte{encode.Msgpack: packed.Bytes(), encode.CBOR: inCBOR} {
		cell, err := format.Cell(store.Column{OID: oid})
		if err != nil {
			t.Fatal(err)
		}
		if out, err := cell(nil, raw); err != nil || !bytes.Equal(out, want) {
			t.Errorf("%s of OID %d, %.40x:\n got %.40x, %v\nwant %.40x", format, oid, raw, out, err, want)
		}
	}
}
