// Package manifest records what a complete run wrote: each key with a digest of
// its value. The next run compares itself with it, row by row, and so knows which
// values have changed and which keys are no longer there. It does no I/O:
// store/cache keeps the chunks.
package manifest

import (
	"encoding/binary"
	"errors"
	"iter"

	"github.com/cespare/xxhash/v2"
)

// Digest is 64 bits of a value's hash (XXH64). Two values that differ have one
// digest once in 2^64 times.
func Digest(value []byte) uint64 {
	if d := xxhash.Sum64(value); d != Held {
		return d
	}
	return Held + 1
}

// Held is no digest: it marks a key that is not in the result but must not be
// removed before someone says so.
const Held uint64 = 0

// ChunkKeys is how many keys a chunk holds.
const ChunkKeys = 4096

// Chunk collects keys and digests. A key is written as what it shares with the
// one before, which leaves of most keys one or two bytes, and eight of the
// digest. The zero Chunk is empty and ready.
type Chunk struct {
	buf  []byte
	last []byte
	n    int
}

// Add appends a key.
func (c *Chunk) Add(key []byte, digest uint64) {
	shared := 0
	for shared < len(key) && shared < len(c.last) && key[shared] == c.last[shared] {
		shared++
	}
	c.buf = binary.AppendUvarint(c.buf, uint64(shared))
	c.buf = binary.AppendUvarint(c.buf, uint64(len(key)-shared))
	c.buf = append(c.buf, key[shared:]...)
	c.buf = binary.LittleEndian.AppendUint64(c.buf, digest)
	c.last = append(c.last[:shared], key[shared:]...)
	c.n++
}

// Len is the number of keys.
func (c *Chunk) Len() int { return c.n }

// Bytes is the chunk as Read takes it, valid until the next Add or Reset.
func (c *Chunk) Bytes() []byte { return c.buf }

// Reset empties the chunk and keeps its memory.
func (c *Chunk) Reset() { c.buf, c.last, c.n = c.buf[:0], c.last[:0], 0 }

// Entry is one key of a manifest.
type Entry struct {
	Key    []byte // valid until the next entry
	Digest uint64
}

// Chunks are the chunks of a manifest in order; on failure it yields (nil, err)
// once, last.
type Chunks = iter.Seq2[[]byte, error]

var errCut = errors.New("a chunk of the manifest is not whole")

// Read yields the entries of chunks in order. On failure it yields an error
// once, last.
func Read(chunks Chunks) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		var key []byte
		for chunk, err := range chunks {
			if err != nil {
				yield(Entry{}, err)
				return
			}
			for key = key[:0]; len(chunk) > 0; {
				var e Entry
				if e, chunk, err = next(key, chunk); err != nil {
					yield(Entry{}, err)
					return
				}
				if key = e.Key; !yield(e, nil) {
					return
				}
			}
		}
	}
}

// next reads the entry that chunk begins with; last is the key before it.
func next(last, chunk []byte) (Entry, []byte, error) {
	shared, n := binary.Uvarint(chunk)
	if n <= 0 || shared > uint64(len(last)) {
		return Entry{}, nil, errCut
	}
	chunk = chunk[n:]
	rest, n := binary.Uvarint(chunk)
	if n <= 0 || uint64(len(chunk)-n) < 8 || rest > uint64(len(chunk)-n-8) {
		return Entry{}, nil, errCut
	}
	chunk = chunk[n:]
	e := Entry{Key: append(last[:shared], chunk[:rest]...), Digest: binary.LittleEndian.Uint64(chunk[rest:])}
	return e, chunk[rest+8:], nil
}
