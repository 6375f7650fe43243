package encode

import (
	"bytes"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// An array is cut into what it was made of, in every format that has arrays.
func TestElements(t *testing.T) {
	rows := map[Format][][]byte{
		JSON:    {[]byte(`{"a":1.50}`), []byte(`{"a":"x","b":[1, 2]}`), []byte(`{}`)},
		Msgpack: {{0x81, 0xa1, 'a', 1}, {0x80}},
		CBOR:    {{0xa1, 0x61, 'a', 1}, {0xa0}},
	}
	for f, want := range rows {
		for n := range len(want) + 1 {
			b := f.OpenArray(nil)
			for i, row := range want[:n] {
				if i > 0 {
					b = f.Separate(b)
				}
				b = append(b, row...)
			}
			b = f.CloseArray(b, 0, n)
			got, err := f.Elements(b)
			if diff := cmp.Diff(want[:n], got); err != nil || diff != "" {
				t.Errorf("%s, %d rows: %v (-want +got):\n%s", f, n, err, diff)
			}
			if _, err := f.Elements(append(b, 0xff)); err == nil {
				t.Errorf("%s: what follows an array is taken for a part of it", f)
			}
		}
	}
	if _, err := Text.Elements([]byte("[]")); err == nil {
		t.Error("text has arrays")
	}
}

func TestDecompress(t *testing.T) {
	value := bytes.Repeat([]byte("a value that compresses "), 100)
	for _, c := range []Compression{None, Gzip, Zstd} {
		z, err := NewCompressor(c, 1)
		if err != nil {
			t.Fatal(err)
		}
		small := z.Append(nil, value)
		if (c != None) != (len(small) < len(value)) {
			t.Errorf("%s: %d bytes became %d", c, len(value), len(small))
		}
		if got, err := Decompress(small, len(value)); err != nil || !bytes.Equal(got, value) {
			t.Errorf("%s: %q, %v", c, got, err)
		}
		if c == None {
			continue
		}
		if _, err := Decompress(small, len(value)-1); err == nil {
			t.Errorf("%s: a value over the limit is no error", c)
		}
		damaged := slices.Concat(small[:len(small)-5], []byte("xxxxx"))
		if _, err := Decompress(damaged, len(value)); err == nil {
			t.Errorf("%s: a damaged value is no error", c)
		}
	}
}
