package encode_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/encode"
)

// What the libraries decode, and what the JSON of a value says it should be, is
// compared in one form: nil, bool, int64, uint64 (above int64), single and double,
// string, []byte, []any and pairs.
type (
	single uint32 // a float's bits, so that zeros differ and NaNs do not
	double uint64
	pairs  []pair
	pair   struct {
		Name  string
		Value any
	}
)

func newSingle(v float32) single {
	if v != v {
		v = float32(math.NaN())
	}
	return single(math.Float32bits(v))
}

func newDouble(v float64) double {
	if v != v {
		v = math.NaN()
	}
	return double(math.Float64bits(v))
}

// comparePacked holds the binary formats of a value, decoded by libraries, to its
// JSON.
func comparePacked(t testing.TB, oid uint32, raw, wantJSON []byte) {
	t.Helper()
	want := expected(t, oid, raw, wantJSON)
	for _, format := range []encode.Format{encode.Msgpack, encode.CBOR} {
		cell, err := format.Cell(store.Column{OID: oid})
		if err != nil {
			t.Fatal(err)
		}
		out, err := cell([]byte("before"), raw)
		out, ok := bytes.CutPrefix(out, []byte("before"))
		if err != nil || !ok {
			t.Errorf("%s of OID %d, wire %x: %v", format, oid, raw, err)
			continue
		}
		if got, want := unpack(t, format, out), inForm(format, want); !reflect.DeepEqual(got, want) {
			t.Errorf("%s of OID %d, wire %x, is %x (-want +got):\n%s", format, oid, raw, out, cmp.Diff(want, got))
		}
	}
}

// inForm is a value as unpack can show it: the CBOR library has maps only, and one
// width of floats.
func inForm(format encode.Format, v any) any {
	switch v := v.(type) {
	case single:
		if format == encode.CBOR {
			return newDouble(float64(math.Float32frombits(uint32(v))))
		}
	case []any:
		list := make([]any, len(v))
		for i := range v {
			list[i] = inForm(format, v[i])
		}
		return list
	case pairs:
		if format == encode.CBOR {
			m := map[any]any{}
			for _, p := range v {
				m[p.Name] = inForm(format, p.Value)
			}
			return m
		}
	}
	return v
}

// expected is what a value should be in a binary format, going by its JSON.
func expected(t testing.TB, oid uint32, raw, text []byte) any {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	v := readJSON(t, d)
	for _, w := range wire {
		if w.array == oid && oid != 0 && raw != nil {
			return elements(t, w.oid, v, binary.BigEndian.Uint32(raw))
		}
	}
	return fromJSON(t, oid, v)
}

// elements converts those of an array with so many dimensions.
func elements(t testing.TB, elem uint32, v any, dims uint32) any {
	list, ok := v.([]any)
	if !ok || len(list) > 0 && dims == 0 {
		return fromJSON(t, elem, v)
	}
	for i := range list {
		if dims == 1 {
			list[i] = fromJSON(t, elem, list[i])
		} else {
			list[i] = elements(t, elem, list[i], dims-1)
		}
	}
	return list
}

// fromJSON turns the JSON of a scalar of that type into what it stands for.
func fromJSON(t testing.TB, oid uint32, v any) any {
	t.Helper()
	if v == nil {
		return nil
	}
	text := fmt.Sprint(v)
	switch oid {
	case 17:
		b, err := hex.DecodeString(text[len(`\x`):])
		if err != nil {
			t.Fatal(err)
		}
		return b
	case 20, 21, 23, 26, 700, 701:
		return number(t, oid, text)
	case 114, 3802:
		return numbers(t, v)
	case 1700:
		return text // a number or "NaN"
	}
	return v
}

func number(t testing.TB, oid uint32, text string) any {
	t.Helper()
	switch oid {
	case 700:
		v, err := strconv.ParseFloat(text, 32)
		if err != nil {
			t.Fatal(err)
		}
		return newSingle(float32(v))
	case 701:
		v, err := strconv.ParseFloat(text, 64)
		if err != nil {
			t.Fatal(err)
		}
		return newDouble(v)
	}
	return numbers(t, json.Number(text))
}

// numbers replaces those in a json value.
func numbers(t testing.TB, v any) any {
	t.Helper()
	switch v := v.(type) {
	case json.Number:
		if i, err := strconv.ParseInt(v.String(), 10, 64); err == nil {
			return i
		}
		if u, err := strconv.ParseUint(v.String(), 10, 64); err == nil {
			return u
		}
		f, _ := strconv.ParseFloat(v.String(), 64)
		return newDouble(f)
	case []any:
		for i := range v {
			v[i] = numbers(t, v[i])
		}
	case pairs:
		for i := range v {
			v[i].Value = numbers(t, v[i].Value)
		}
	}
	return v
}

// readJSON reads one value and keeps the order of names.
func readJSON(t testing.TB, d *json.Decoder) any {
	t.Helper()
	token, err := d.Token()
	if err != nil {
		t.Fatal(err)
	}
	switch token {
	case json.Delim('['):
		list := []any{}
		for d.More() {
			list = append(list, readJSON(t, d))
		}
		d.Token()
		return list
	case json.Delim('{'):
		object := pairs{}
		for d.More() {
			name := readJSON(t, d)
			object = append(object, pair{name.(string), readJSON(t, d)})
		}
		d.Token()
		return object
	}
	return token
}
