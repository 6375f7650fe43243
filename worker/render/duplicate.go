package render

import (
	"fmt"
	"hash/maphash"
)

// keySet remembers which keys a reading has had, by 64-bit fingerprints, so that a second row of a key is
// noticed. It takes at most 16 MB: of more than some two million keys it forgets old ones, and a second row
// that comes much later is not noticed. With a random seed, one reading in some ten million of that size
// takes two keys for the same; the next one goes through.
type keySet struct {
	seed  maphash.Seed
	slots []uint64 // 0: free
}

const (
	fewestSlots = 1 << 6
	mostSlots   = 1 << 21
	probes      = 16 // slots in which a fingerprint may be
)

// add adds a key and reports whether it was there.
func (s *keySet) add(key []byte) bool {
	if s.slots == nil {
		s.seed, s.slots = maphash.MakeSeed(), make([]uint64, fewestSlots)
	}
	fingerprint := maphash.Bytes(s.seed, key) | 1
	for {
		there, done := s.put(fingerprint)
		if done {
			return there
		}
		if len(s.slots) == mostSlots {
			s.slots[int(fingerprint>>1)&(mostSlots-1)] = fingerprint
			return false
		}
		s.grow()
	}
}

// put puts a fingerprint into a free slot, unless it is there; done is false where no slot is free.
func (s *keySet) put(fingerprint uint64) (there, done bool) {
	mask := len(s.slots) - 1
	home := int(fingerprint>>1) & mask
	for i := range probes {
		switch slot := &s.slots[(home+i)&mask]; *slot {
		case fingerprint:
			return true, true
		case 0:
			*slot = fingerprint
			return false, true
		}
	}
	return false, false
}

// grow doubles the slots. A fingerprint that finds none is forgotten.
func (s *keySet) grow() {
	old := s.slots
	s.slots = make([]uint64, 2*len(old))
	for _, fingerprint := range old {
		if fingerprint != 0 {
			s.put(fingerprint)
		}
	}
}

// duplicate reports whether another row of the reading has had this key. The first row of a key is the one
// that is written: which that is does not depend on how rows fall into batches.
func (r *Renderer) duplicate(key []byte) bool {
	if !r.had.add(key) {
		return false
	}
	r.Duplicates++
	if r.Warning == "" {
		r.Warning = fmt.Sprintf("key %s has more than one row, and holds the first of them: have the key template "+
			"tell "+
			"the rows apart, select one row a key (DISTINCT ON), or set value: rows", key)
	}
	return true
}
