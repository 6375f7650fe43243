package encode_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stokerhq/stoker/store/encode"
)

var update = flag.Bool("update", false, "write testdata/golden.jsonl anew")

// golden is a line of testdata/golden.jsonl.
type golden struct {
	Name   string `json:"name"`
	Format string `json:"format"`
	Value  string `json:"value"`  // the bytes that Redis gets, in hex
	Python string `json:"python"` // what a reader makes of them
}

var goldenFile = filepath.Join("testdata", "golden.jsonl")

// TestGolden pins the bytes of all formats: caches hold them longer than a
// version of ours lives.
func TestGolden(t *testing.T) {
	var got bytes.Buffer
	lines := json.NewEncoder(&got)
	lines.SetEscapeHTML(false)
	for _, line := range goldenCases(t) {
		if err := lines.Encode(line); err != nil {
			t.Fatal(err)
		}
	}
	if *update {
		if err := os.WriteFile(goldenFile, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(goldenFile)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got.String()); diff != "" {
		t.Errorf("-want +got (go test ./store/encode -update writes it anew):\n%s", diff)
	}
}

// goldenCases encodes every row in every format, and some values besides.
func goldenCases(t *testing.T) []golden {
	var all []golden
	add := func(name string, format encode.Format, value []byte, python string) {
		all = append(all, golden{name, string(format), hex.EncodeToString(value), python})
	}
	for _, r := range goldenRows {
		cols, row := r.columns()
		for _, format := range []encode.Format{encode.JSON, encode.Msgpack, encode.CBOR} {
			object, err := format.NewObject(cols)
			if err != nil {
				t.Fatal(err)
			}
			python := r.packed
			if format == encode.JSON {
				python = r.json
			}
			one := appendRow(t, object, row)
			add(r.name, format, one, python)
			two := append(format.Separate(append(format.OpenArray(nil), one...)), one...)
			add(r.name+", twice in a list", format, format.CloseArray(two, 0, 2), fmt.Sprintf("[%s] * 2", python))
		}
		hash, err := encode.NewHash(cols)
		if err != nil {
			t.Fatal(err)
		}
		add(r.name, "hash", appendRow(t, hash, row), r.hash)
	}
	for _, s := range goldenScalars {
		cell, err := s.format.Cell(s.col)
		if err != nil {
			t.Fatal(err)
		}
		value, err := cell(nil, s.raw)
		if err != nil {
			t.Fatal(err)
		}
		add(s.name, s.format, newCompressor(t, s.compression, 100).Append(nil, value), s.python)
	}
	return all
}

// TestGoldenInPython has the golden bytes read by the libraries of another
// language, which know nothing of ours.
func TestGoldenInPython(t *testing.T) {
	data, err := os.ReadFile(goldenFile)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), python(t), filepath.Join("testdata", "decode.py"))
	cmd.Stdin = bytes.NewReader(data)
	out, err := cmd.CombinedOutput()
	if want := fmt.Sprintf("%d cases, 0 wrong\n", bytes.Count(data, []byte("\n"))); err != nil || string(out) != want {
		t.Errorf("%v: %s", err, out)
	}
}

// python returns a Python that has the libraries: the one in the path may be
// another than the system's, whose packages we name.
func python(t *testing.T) string {
	t.Helper()
	var said []string
	for _, name := range []string{"python3", "/usr/bin/python3"} {
		out, err := exec.Command(name, "-c", "import msgpack, cbor2, zstandard").CombinedOutput()
		if err == nil {
			return name
		}
		said = append(said, fmt.Sprintf("%s: %v %s", name, err, out))
	}
	t.Fatalf("no Python with the libraries that read our formats: install the packages python3-msgpack, "+
		"python3-cbor2 and python3-zstandard\n%s", strings.Join(said, "\n"))
	return ""
}
