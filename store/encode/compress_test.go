package encode_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/stokerhq/stoker/store/encode"
)

// expand is what a reader does: it looks at the first bytes.
func expand(t testing.TB, value []byte) []byte {
	t.Helper()
	var err error
	switch {
	case bytes.HasPrefix(value, []byte{0x1f, 0x8b}):
		var r *gzip.Reader
		if r, err = gzip.NewReader(bytes.NewReader(value)); err == nil {
			value, err = io.ReadAll(r)
		}
	case bytes.HasPrefix(value, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		value, err = unzstd.DecodeAll(value, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	return value
}

var unzstd = func() *zstd.Decoder {
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1))
	if err != nil {
		panic(err)
	}
	return d
}()

func newCompressor(t testing.TB, c encode.Compression, above int) *encode.Compressor {
	t.Helper()
	compressor, err := encode.NewCompressor(c, above)
	if err != nil {
		t.Fatal(err)
	}
	return compressor
}

func TestCompression(t *testing.T) {
	text := catalog(2000)
	noise := make([]byte, 2000)
	for i := range noise {
		noise[i] = byte(rand.Uint32())
	}
	noise[0] = '{'
	for _, tt := range []struct {
		name     string
		src      []byte
		above    int
		smaller  bool
		verbatim bool
	}{
		{"empty", nil, 1, false, true},
		{"below the limit", text, len(text) + 1, false, true},
		{"at the limit", text, len(text), true, false},
		{"large", catalog(1 << 20), 1000, true, false},
		{"does not get smaller", noise, 1, false, true},
		{"tiny", []byte("1"), 1, false, true},
		{"like gzip", []byte("\x1f\x8b"), 1000, false, false},
		{"like zstd", []byte("\x28\xb5\x2f\xfd and more"), 1000, false, false},
	} {
		for _, compression := range []encode.Compression{encode.Gzip, encode.Zstd} {
			t.Run(fmt.Sprint(tt.name, " ", compression), func(t *testing.T) {
				c := newCompressor(t, compression, tt.above)
				out, ok := bytes.CutPrefix(c.Append([]byte("before"), tt.src), []byte("before"))
				if !ok || !bytes.Equal(expand(t, out), tt.src) {
					t.Errorf("%d bytes came back otherwise", len(tt.src))
				}
				if bytes.Equal(out, tt.src) != tt.verbatim || len(out) < len(tt.src) != tt.smaller {
					t.Errorf("%d bytes became %d", len(tt.src), len(out))
				}
			})
		}
	}
}

func TestNoCompression(t *testing.T) {
	c := newCompressor(t, encode.None, 1)
	for _, src := range []string{"", "\x1f\x8b", string(catalog(5000))} {
		if out := c.Append([]byte("k"), []byte(src)); string(out) != "k"+src {
			t.Errorf("%.20q became %.20q", src, out)
		}
	}
	_, err := encode.NewCompressor("lz4", 1)
	wantError(t, err, `compression "lz4" is not one of none, gzip, zstd`)
}

// The same value must come out as the same bytes, whatever was before it: digests
// of what was written are compared from run to run.
func TestCompressionIsDeterministic(t *testing.T) {
	for _, compression := range []encode.Compression{encode.Gzip, encode.Zstd} {
		used := newCompressor(t, compression, 1)
		for size := 10; size < 3<<20; size *= 3 {
			src := catalog(size)
			want := newCompressor(t, compression, 1).Append(nil, src)
			for range 2 {
				if got := used.Append(nil, src); !bytes.Equal(got, want) {
					t.Errorf("%s of %d bytes comes out otherwise the next time", compression, size)
				}
			}
		}
	}
}

// No value that Redis is sent begins like something compressed: a reader may look
// at the first bytes.
func FuzzCompression(f *testing.F) {
	f.Add([]byte("\x1f\x8b\x08"), uint16(9))
	f.Add([]byte("\x28\xb5\x2f\xfd"), uint16(0))
	f.Add(catalog(3000), uint16(100))
	f.Fuzz(func(t *testing.T, src []byte, above uint16) {
		for _, compression := range []encode.Compression{encode.Gzip, encode.Zstd} {
			if out := newCompressor(t, compression, int(above)).Append(nil, src); !bytes.Equal(expand(t, out), src) {
				t.Errorf("%s: %x became %x", compression, src, out)
			}
		}
	})
}

// A Compressor's memory stays as it is, and a value costs none.
func TestCompressionMemory(t *testing.T) {
	for _, compression := range []encode.Compression{encode.Gzip, encode.Zstd} {
		small, large := catalog(2000), catalog(4<<20)
		dst := make([]byte, 0, len(large))
		before := heap()
		c := newCompressor(t, compression, 1000)
		c.Append(dst, large)
		if allocs := testing.AllocsPerRun(100, func() { c.Append(dst, small) }); allocs != 0 {
			t.Errorf("%s: %v allocations a value", compression, allocs)
		}
		if held := int64(heap()) - int64(before); held > 3<<19 {
			t.Errorf("%s holds %d bytes", compression, held)
		}
		runtime.KeepAlive(c)
		runtime.KeepAlive(dst)
	}
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// catalog is at least n bytes of a rows job's value, the same ones each time.
func catalog(n int) []byte {
	r := rand.New(rand.NewPCG(1, 2))
	words := []string{"oak", "table", "chair", "lamp", "classic", "blue", "garden", "shelf"}
	b := []byte{'['}
	for len(b) < n {
		b = fmt.Appendf(b, `{"id":%d,"sku":"SKU-%05d","name":"%s %s %s","price":%d.%02d,"stock":%d,"updated_at":"2026-02-%02dT%02d:%02d:06.789+00:00"},`,
			r.Int64N(1e10), r.IntN(1e5), words[r.IntN(8)], words[r.IntN(8)], words[r.IntN(8)], r.IntN(2000),
			r.IntN(100), r.IntN(100), 1+r.IntN(28), r.IntN(24), r.IntN(60))
	}
	b[len(b)-1] = ']'
	return b
}

func BenchmarkCompression(b *testing.B) {
	for _, compression := range []encode.Compression{encode.Gzip, encode.Zstd} {
		for _, size := range []int{1500, 60_000} {
			b.Run(fmt.Sprintf("%s/%d", compression, size), func(b *testing.B) {
				src := catalog(size)
				c := newCompressor(b, compression, 1)
				dst := make([]byte, 0, 2*len(src))
				b.SetBytes(int64(len(src)))
				b.ReportAllocs()
				for b.Loop() {
					c.Append(dst, src)
				}
				b.ReportMetric(float64(len(src))/float64(len(c.Append(nil, src))), "ratio")
			})
		}
	}
}
