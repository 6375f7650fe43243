package encode

import (
	"encoding/binary"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stokerhq/stoker/store"
)

func float8(v float64) []byte { return binary.BigEndian.AppendUint64(nil, math.Float64bits(v)) }

// Scores are as a 64-bit float has them; a row without a place in a ranking leaves none. Broken by: a NULL that becomes
// an empty member, a NaN, which Redis refuses.
func TestRanking(t *testing.T) {
	r, err := NewRanking([]store.Column{{Name: "member", OID: 25, Type: "text"},
		{Name: "score", OID: 701, Type: "double precision"}})
	if err != nil {
		t.Fatal(err)
	}
	value := Msgpack.OpenArray(nil)
	rows := []store.Row{{[]byte("a"), float8(1.5)}, {[]byte("b\x00"), float8(-1e300)}, {nil, float8(1)},
		{[]byte("c"), nil}, {[]byte("d"), float8(math.NaN())}, {[]byte("e"), float8(math.Inf(1))},
		{[]byte("a"), float8(0.1)}, {[]byte(""), float8(7)}}
	for _, row := range rows {
		if value, err = r.AppendRow(value, row); err != nil {
			t.Fatal(err)
		}
	}
	value = Msgpack.CloseArray(value, 0, len(rows))
	got, err := ReadRanking(value)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]float64{"a": 0.1, "b\x00": -1e300, "e": math.Inf(1), "": 7}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestRankingsOfNumbersOnly(t *testing.T) {
	for _, oid := range []uint32{25, 16, 1184} {
		_, err := NewRanking([]store.Column{{Name: "member", OID: 25}, {Name: "score", OID: oid, Type: "some"}})
		if err == nil || !strings.Contains(err.Error(), "column score of type some is no score: it must be a number") {
			t.Errorf("%d: %v", oid, err)
		}
	}
	r, err := NewRanking([]store.Column{{Name: "member", OID: 20}, {Name: "score", OID: 23}})
	if err != nil {
		t.Fatal(err)
	}
	got, err := r.AppendRow(nil, store.Row{{0, 0, 0, 0, 0, 0, 0, 42}, {0, 0, 1, 0}})
	if want := "\x92\xa3256\xa242"; err != nil || string(got) != want {
		t.Errorf("%q, %v, want %q", got, err, want)
	}
}
