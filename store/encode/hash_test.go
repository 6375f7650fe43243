package encode_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/encode"
)

func TestHash(t *testing.T) {
	h, err := encode.NewHash(twice.cols)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		row  store.Row
		want []any
	}{
		{twice.row, []any{"a", "1", "b", "x", "é", "true"}},
		{store.Row{nil, nil, nil, nil}, []any{}},
		{store.Row{nil, []byte(`"q"`), []byte{}, nil}, []any{"b", `"q"`, "a", ""}},
		{store.Row{nil, bytes.Repeat([]byte("é"), 200), nil, {0}},
			[]any{"b", string(bytes.Repeat([]byte("é"), 200)), "é", "false"}},
	} {
		if diff := cmp.Diff(any(tt.want), unpack(t, encode.Msgpack, appendRow(t, h, tt.row))); diff != "" {
			t.Errorf("%q (-want +got):\n%s", tt.row, diff)
		}
	}
}

// TestHashTexts holds the texts of all types to those of keys.
func TestHashTexts(t *testing.T) {
	var cols []store.Column
	var row store.Row
	var want []any
	for _, w := range wire {
		for i, value := range w.values {
			raw := mustHex(t, value)
			key, _ := encode.KeyText(w.oid)
			text, err := key(nil, raw)
			if err != nil {
				t.Fatal(err)
			}
			name := fmt.Sprint(w.oid, " ", i)
			cols, row, want = append(cols, store.Column{Name: name, OID: w.oid}), append(row, raw),
				append(want, name, string(text))
		}
	}
	h, err := encode.NewHash(cols)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(any(want), unpack(t, encode.Msgpack, appendRow(t, h, row))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestHashErrors(t *testing.T) {
	h, err := encode.NewHash([]store.Column{{Name: "id", OID: 23}, {Name: "price", OID: 1700}})
	if err != nil {
		t.Fatal(err)
	}
	out, err := h.AppendRow([]byte("before"), store.Row{{0, 0, 0, 1}, {1, 2, 3}})
	wantError(t, err, `column "price": malformed numeric: no room for its head`)
	if string(out) != "before" {
		t.Errorf("a failed row left %q", out)
	}
	_, err = h.AppendRow(nil, store.Row{nil})
	wantError(t, err, "row has 1 cells, not 2")
}
