package encode

import (
	"bytes"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

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
