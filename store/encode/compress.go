package encode

import (
	"bytes"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// Compression is what is done to large values.
type Compression string

// The compressions.
const (
	None Compression = "none"
	Gzip Compression = "gzip"
	Zstd Compression = "zstd"
)

// How compressed values begin. Nothing that is left uncompressed begins so, which
// is how readers tell them apart.
var (
	gzipMagic = []byte{0x1f, 0x8b}
	zstdMagic = []byte{0x28, 0xb5, 0x2f, 0xfd}
)

// zstdWindow is how far back zstd looks for repeats. It bounds what a Compressor
// holds, some 0.7 MB (gzip: 1 MB); rows repeat what is near, so that more finds
// little.
const zstdWindow = 128 << 10

// Compressor compresses values, one after the other in the same memory. The same
// value comes out as the same bytes. It is used by one goroutine.
type Compressor struct {
	above int
	zstd  *zstd.Encoder
	gzip  *gzip.Writer
	out   sink
}

// NewCompressor prepares a compression of values of at least so many bytes.
func NewCompressor(c Compression, above int) (*Compressor, error) {
	switch c {
	case None:
		return &Compressor{}, nil
	case Gzip:
		return &Compressor{above: above, gzip: gzip.NewWriter(nil)}, nil
	case Zstd:
		w, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(zstdWindow),
			zstd.WithLowerEncoderMem(true), zstd.WithEncoderConcurrency(1))
		return &Compressor{above: above, zstd: w}, err
	}
	return nil, fmt.Errorf("compression %q is not one of none, gzip, zstd", string(c))
}

// Append appends src, compressed if it is large enough and gets smaller by it,
// else as it is. A src that begins like something compressed is compressed in any
// case. The memory of src and dst must not overlap.
func (c *Compressor) Append(dst, src []byte) []byte {
	must := bytes.HasPrefix(src, gzipMagic) || bytes.HasPrefix(src, zstdMagic)
	if c.zstd == nil && c.gzip == nil || len(src) < c.above && !must {
		return append(dst, src...)
	}
	out := c.compress(dst, src)
	if len(out)-len(dst) >= len(src) && !must {
		return append(out[:len(dst)], src...)
	}
	return out
}

func (c *Compressor) compress(dst, src []byte) []byte {
	if c.zstd != nil {
		return c.zstd.EncodeAll(src, dst)
	}
	c.out = dst
	c.gzip.Reset(&c.out)
	c.gzip.Write(src) // fails only where the sink does, which never
	c.gzip.Close()
	dst, c.out = c.out, nil
	return dst
}

// sink is a writer that appends.
type sink []byte

func (s *sink) Write(p []byte) (int, error) {
	*s = append(*s, p...)
	return len(p), nil
}

// Decompress returns a value as it was before a Compressor, told by its first
// bytes; one that is not compressed comes back as it is. A value that is larger
// than limit, in bytes, is an error, as is one that is damaged.
func Decompress(value []byte, limit int) ([]byte, error) {
	var r io.Reader
	switch {
	case bytes.HasPrefix(value, gzipMagic):
		z, err := gzip.NewReader(bytes.NewReader(value))
		if err != nil {
			return nil, fmt.Errorf("decompress a value: %w", err)
		}
		r = z
	case bytes.HasPrefix(value, zstdMagic):
		z, err := zstd.NewReader(bytes.NewReader(value), zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true))
		if err != nil {
			return nil, fmt.Errorf("decompress a value: %w", err)
		}
		defer z.Close()
		r = z
	default:
		return value, nil
	}
	out, err := io.ReadAll(io.LimitReader(r, int64(limit)+1))
	if err != nil {
		return nil, fmt.Errorf("decompress a value: %w", err)
	}
	if len(out) > limit {
		return nil, fmt.Errorf("decompress a value: it has more than %d bytes", limit)
	}
	return out, nil
}
