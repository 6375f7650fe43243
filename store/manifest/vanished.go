package manifest

import (
	"iter"

	"github.com/cespare/xxhash/v2"
)

// part is how many keys one pass of Vanished holds in memory.
const part = 1 << 18

// Vanished yields the keys of one manifest that another, of n keys, has not,
// whatever order they are in. Each pass over both takes a part of the keys, told
// by their hash, so that memory is bounded; few results need more than some.
func Vanished(old, now Chunks, n int64) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		passes := uint64(n/part + 1)
		for pass := range passes {
			there := make(map[uint64]struct{})
			for e, err := range Read(now) {
				if err != nil {
					yield(nil, err)
					return
				}
				if h := xxhash.Sum64(e.Key); h%passes == pass && e.Digest != Held {
					there[h] = struct{}{}
				}
			}
			for e, err := range Read(old) {
				if err != nil {
					yield(nil, err)
					return
				}
				h := xxhash.Sum64(e.Key)
				if _, is := there[h]; h%passes == pass && !is && !yield(e.Key, nil) {
					return
				}
			}
		}
	}
}
