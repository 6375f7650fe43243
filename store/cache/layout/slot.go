package layout

import (
	"strconv"
	"strings"
	"sync"
)

// Slots is how many hash slots a Redis Cluster has.
const Slots = 16384

// tags are short texts, one for each slot, that hash to it.
var tags = sync.OnceValue(func() []string {
	out := make([]string, Slots)
	for i, missing := 0, Slots; missing > 0; i++ {
		tag := strconv.FormatInt(int64(i), 36)
		if n := crc16([]byte(tag)) % Slots; out[n] == "" {
			out[n] = tag
			missing--
		}
	}
	return out
})

// Slot is the hash slot of a key, as Redis Cluster has it: of what stands in the
// first pair of braces, if anything does.
func Slot(key []byte) int {
	text := string(key)
	if open := strings.IndexByte(text, '{'); open >= 0 {
		if end := strings.IndexByte(text[open+1:], '}'); end > 0 {
			text = text[open+1 : open+1+end]
		}
	}
	return int(crc16([]byte(text)) % Slots)
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
