package cache

import (
	"strconv"
	"strings"
	"sync"
)

// slots is how many hash slots a Redis Cluster has.
const slots = 16384

// bookLocator is where the books are: one for the whole cache, or in Cluster, where a
// script reaches one slot only, one for each slot.
type bookLocator struct{ cluster bool }

// count is how many books there are.
func (b bookLocator) count() int {
	if b.cluster {
		return slots
	}
	return 1
}

// of returns the number of the book that a key is in.
func (b bookLocator) of(key []byte) int {
	if b.cluster {
		return slot(key)
	}
	return 0
}

// key is the name of book n: its tag puts it in the slot of its keys.
func (b bookLocator) key(n int) string {
	if !b.cluster {
		return "stoker:{cache}:book"
	}
	return "stoker:{" + tags()[n] + "}:book"
}

// untracked is the name of the set of a job's untracked whose keys are in book n.
func (b bookLocator) untracked(n int, job string) string {
	return strings.TrimSuffix(b.key(n), "book") + "new:" + job
}

// tags are short texts, one for each slot, that hash to it.
var tags = sync.OnceValue(func() []string {
	out := make([]string, slots)
	for i, missing := 0, slots; missing > 0; i++ {
		tag := strconv.FormatInt(int64(i), 36)
		if n := crc16([]byte(tag)) % slots; out[n] == "" {
			out[n] = tag
			missing--
		}
	}
	return out
})

// slot is the hash slot of a key, as Redis Cluster has it: of what stands in the
// first pair of braces, if anything does.
func slot(key []byte) int {
	text := string(key)
	if open := strings.IndexByte(text, '{'); open >= 0 {
		if end := strings.IndexByte(text[open+1:], '}'); end > 0 {
			text = text[open+1 : open+1+end]
		}
	}
	return int(crc16([]byte(text)) % slots)
}

// crc16 is CRC-16/XMODEM, with which Redis Cluster hashes keys.
func crc16(b []byte) (crc uint16) {
	for _, c := range b {
		crc ^= uint16(c) << 8
		for range 8 {
			if crc&0x8000 != 0 {
				crc = crc<<1 ^ 0x1021
			} else {
				crc <<= 1
			}
		}
	}
	return crc
}
