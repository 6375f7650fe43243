package encode_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/encode"
)

func TestPackedJSON(t *testing.T) {
	for text, want := range map[string][2]string{ // msgpack, CBOR
		`null`:                    {"c0", "f6"},
		` true `:                  {"c3", "f5"},
		`[false]`:                 {"91c2", "81f4"},
		`{}`:                      {"80", "a0"},
		"\t[ ]\n":                 {"90", "80"},
		`{"a":{"b":[1,{}]}}`:      {"81a16181a162920180", "a16161a161628201a0"},
		`{"b":1,"a":2,"b":3}`:     {"83a16201a16102a16203", "a3616201616102616203"},
		`-0`:                      {"00", "00"},
		`-1`:                      {"ff", "20"},
		`18446744073709551615`:    {"cfffffffffffffffff", "1bffffffffffffffff"},
		`18446744073709551616`:    {"cb43f0000000000000", "fb43f0000000000000"},
		`-9223372036854775808`:    {"d38000000000000000", "3b7fffffffffffffff"},
		`-9223372036854775809`:    {"cbc3e0000000000000", "fbc3e0000000000000"},
		`1.0`:                     {"cb3ff0000000000000", "fb3ff0000000000000"},
		`1e0`:                     {"cb3ff0000000000000", "fb3ff0000000000000"},
		`-0.0`:                    {"cb8000000000000000", "fb8000000000000000"},
		`0.1`:                     {"cb3fb999999999999a", "fb3fb999999999999a"},
		`-1.5E+2`:                 {"cbc062c00000000000", "fbc062c00000000000"},
		`1e999`:                   {"cb7ff0000000000000", "fb7ff0000000000000"},
		`1e-999`:                  {"cb0000000000000000", "fb0000000000000000"},
		`0.10000000000000000001`:  {"cb3fb999999999999a", "fb3fb999999999999a"},
		`""`:                      {"a0", "60"},
		`"é\u00e9\n\"\/"`:         {"a7c3a9c3a90a222f", "67c3a9c3a90a222f"},
		`"\ud83d\ude00"`:          {"a4f09f9880", "64f09f9880"},
		`"\ud83d!\ude00\ud83d"`:   {"aaefbfbd21efbfbdefbfbd", "6aefbfbd21efbfbdefbfbd"},
		`"a\u0000b"`:              {"a3610062", "63610062"},
		`{"\u0061":"\\"}`:         {"81a161a15c", "a16161615c"},
		`["\u0041` + x30 + `"]`:   {"91bf41" + hex30, "81781f41" + hex30},
		`["\u0041` + x30 + `yy"]`: {"91d92141" + hex30 + "7979", "81782141" + hex30 + "7979"},
	} {
		for i, format := range binaryFormats {
			for oid, raw := range map[uint32]string{114: text, 3802: "\x01" + text} {
				cell, err := format.Cell(store.Column{OID: oid})
				if err != nil {
					t.Fatal(err)
				}
				if out, err := cell(nil, []byte(raw)); err != nil || hex.EncodeToString(out) != want[i] {
					t.Errorf("%s of %s: got %x, %v, want %s", format, text, out, err, want[i])
				}
			}
		}
	}
}

var (
	x30   = strings.Repeat("x", 30)
	hex30 = strings.Repeat("78", 30)
)

func TestMalformedJSON(t *testing.T) {
	for text, want := range map[string]string{
		"":                         "a value is missing",
		" ":                        "a value is missing",
		"nul":                      "a value is missing",
		"[1":                       "a comma or bracket is missing",
		"[1 2]":                    "a comma or bracket is missing",
		"[1}":                      "a comma or bracket is missing",
		"[1,]":                     "a value is missing",
		"[,1]":                     "a value is missing",
		`{"a":1`:                   "a comma or bracket is missing",
		`{"a":1,}`:                 "a name is missing",
		`{a:1}`:                    "a name is missing",
		`{"a" 1}`:                  "a colon is missing",
		`{"a":}`:                   "a value is missing",
		"1 2":                      "text after its end",
		"01":                       "text after its end",
		"+1":                       "a value is missing",
		"-":                        "a number without digits",
		"-a":                       "a number without digits",
		"1.":                       "a number without digits",
		"1.e5":                     "a number without digits",
		"1e+":                      "a number without digits",
		`"`:                        "a string without its end",
		`"\`:                       "a string without its end",
		`"\"`:                      "a string without its end",
		`"\x"`:                     "an unknown escape",
		`"\u12g4"`:                 `an escape \u that is no character`,
		"\"\n\"":                   "a control character in a string",
		"NaN":                      "a value is missing",
		"1\x00":                    "text after its end",
		strings.Repeat("[", 1001):  "nested deeper than 1000 levels",
		strings.Repeat("[", 1<<20): "nested deeper than 1000 levels",
	} {
		for _, format := range binaryFormats {
			cell, err := format.Cell(store.Column{Name: "doc", OID: 114})
			if err != nil {
				t.Fatal(err)
			}
			out, err := cell([]byte("before"), []byte(text))
			wantError(t, err, `column "doc": malformed json: `+want)
			if string(out) != "before" {
				t.Errorf("%.40q left %q", text, out)
			}
		}
	}
}

func TestDeepJSON(t *testing.T) {
	text := []byte(strings.Repeat(`[`, 1000) + strings.Repeat(`]`, 1000))
	comparePacked(t, 114, text, text)
}

// FuzzPackedJSON holds what is read from any text to what the standard library
// reads.
func FuzzPackedJSON(f *testing.F) {
	for _, seed := range []string{`{"a":[1,-2.5e3,"\u00e9\n",null,true,{}],"b":{"c":""}}`, `"\ud83d\ude00\ud800"`,
		"[0,-0,1e999,18446744073709551615]", "[[[[", `{"a":1,}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if !utf8.Valid(text) {
			return
		}
		cell, err := encode.Msgpack.Cell(store.Column{OID: 114})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := cell(nil, text); (err == nil) != json.Valid(text) &&
			!bytes.Contains(text, bytes.Repeat([]byte("["), 500)) {
			t.Fatalf("%q: %v, but valid is %v", text, err, json.Valid(text))
		} else if err == nil {
			comparePacked(t, 114, text, text)
		}
	})
}
