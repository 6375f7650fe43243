package store

import "time"

// Batch collects entries on their way to Redis in one buffer that is used again
// and again: keys and values lie one after the other in Buf, and the encoder
// appends to it directly. The zero Batch is empty and ready.
type Batch struct {
	Buf     []byte
	Journal []byte // what the run writes down before it brings these entries; may be empty
	marks   []mark
}

// mark is where an entry lies in Buf.
type mark struct {
	key, value, end int
	ttl             time.Duration
	op              Op
	extend          bool
}

// Add makes an entry of what was appended to Buf: the key from keyAt, the value
// from valueAt to the end.
func (b *Batch) Add(keyAt, valueAt int, ttl time.Duration) {
	b.marks = append(b.marks, mark{keyAt, valueAt, len(b.Buf), ttl, Write, false})
}

// AddRemoval makes an entry without a value of what was appended to Buf from
// keyAt on: its key is to be removed.
func (b *Batch) AddRemoval(keyAt int) {
	b.marks = append(b.marks, mark{key: keyAt, value: len(b.Buf), end: len(b.Buf), op: Remove})
}

// Remove adds an entry that removes a key.
func (b *Batch) Remove(key []byte) {
	at := len(b.Buf)
	b.Buf = append(b.Buf, key...)
	b.AddRemoval(at)
}

// Keep says of the entry that was added last that Redis should have its value
// already: it is to be looked after, and sent only if it is not there. extend says
// whether its TTL is to be set anew.
func (b *Batch) Keep(extend bool) {
	m := &b.marks[len(b.marks)-1]
	m.op, m.extend = Keep, extend
}

// Move moves the entry that was added last to the end of another batch.
func (b *Batch) Move(to *Batch) {
	m := b.marks[len(b.marks)-1]
	keyAt := len(to.Buf)
	to.Buf = append(to.Buf, b.Buf[m.key:m.end]...)
	to.marks = append(to.marks, mark{keyAt, keyAt + m.value - m.key, len(to.Buf), m.ttl, m.op, m.extend})
	b.Buf, b.marks = b.Buf[:m.key], b.marks[:len(b.marks)-1]
}

// Len is the number of entries.
func (b *Batch) Len() int { return len(b.marks) }

// Size is the bytes of all keys and values, and of what is being appended.
func (b *Batch) Size() int { return len(b.Buf) }

// Entry returns entry i. Its slices are valid until Reset.
func (b *Batch) Entry(i int) Entry {
	m := b.marks[i]
	return Entry{Key: b.Buf[m.key:m.value:m.value], Value: b.Buf[m.value:m.end:m.end], TTL: m.ttl, Op: m.op,
		Extend: m.extend}
}

// keep is the largest buffer that Reset keeps: one huge value must not stay in
// memory for the rest of the run.
const keep = 1 << 20

// Reset empties the batch and keeps its memory.
func (b *Batch) Reset() {
	b.marks = b.marks[:0]
	b.Buf = b.Buf[:0]
	b.Journal = b.Journal[:0]
	if cap(b.Buf) > keep {
		b.Buf = nil
	}
}
