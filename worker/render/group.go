package render

import (
	"bytes"
	"fmt"
	"hash/maphash"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
)

// group is the value of a rows job that is being built at the end of a batch:
// the rows of one key, which must follow one another.
type group struct {
	open           bool
	keyAt, valueAt int
	rows           int // in the value
	size           int // of a value that outgrew the limit; 0 while it fits

	// seen holds a 64-bit fingerprint of every closed key: some 16 bytes a key, so
	// that a key that comes back is noticed. With a random seed, one run in some
	// 370,000 over ten million keys takes two for the same; the next goes through.
	seen map[uint64]struct{}
	seed maphash.Seed
	next []byte // the key of the row at hand
}

// addToGroup appends a row to the value of its key, closing the one before.
func (r *Renderer) addToGroup(row store.Row) error {
	g := &r.group
	key, ok, err := r.Key(g.next[:0], row)
	if err != nil {
		return r.SkipBad(err)
	}
	if !ok {
		return nil
	}
	g.next = key
	switch {
	case !g.open || !bytes.Equal(key, r.batch.Buf[g.keyAt:g.valueAt]):
		if err := r.closeGroup(); err != nil {
			return err
		}
		if err := r.openGroup(key); err != nil {
			return err
		}
	case g.size == 0:
		r.batch.Buf = r.format.Separate(r.batch.Buf)
	}
	return r.grow(row)
}

// openGroup begins the value of a key that was not there before.
func (r *Renderer) openGroup(key []byte) error {
	g, b := &r.group, r.batch
	if g.seen == nil {
		g.seen, g.seed = make(map[uint64]struct{}), maphash.MakeSeed()
	}
	fingerprint := maphash.Bytes(g.seed, key)
	if _, back := g.seen[fingerprint]; back {
		return r.refuse("key %s comes back after other keys: the rows of one key must follow one another (ORDER BY "+
			"the key columns first)", key)
	}
	g.seen[fingerprint] = struct{}{}
	g.open, g.rows, g.size, g.keyAt = true, 0, 0, len(b.Buf)
	b.Buf = append(b.Buf, key...)
	g.valueAt = len(b.Buf)
	b.Buf = r.format.OpenArray(b.Buf)
	return nil
}

// grow appends the row. A value that outgrows the limit is dropped at once, not
// when it ends, so that memory stays bounded; its size is still counted.
func (r *Renderer) grow(row store.Row) error {
	g, b := &r.group, r.batch
	at := len(b.Buf)
	buf, err := r.value(b.Buf, row)
	if err != nil {
		return fmt.Errorf("key %s: %w", b.Buf[g.keyAt:g.valueAt], err)
	}
	b.Buf = buf
	g.rows++
	if g.size > 0 {
		g.size += 1 + len(buf) - at
	} else if size := len(buf) - g.valueAt + 1; size > r.job.MaxValueBytes {
		g.size = size
	}
	if g.size > 0 {
		b.Buf = buf[:g.valueAt]
	}
	return nil
}

// closeGroup ends the value that is being built, if one is.
func (r *Renderer) closeGroup() error {
	g, b := &r.group, r.batch
	if !g.open {
		return nil
	}
	g.open = false
	if g.size > 0 {
		r.reject(b.Buf[g.keyAt:g.valueAt], g.size)
		b.Buf = b.Buf[:g.keyAt]
		return nil
	}
	b.Buf = r.format.CloseArray(b.Buf, g.valueAt, g.rows)
	return r.entry(g.keyAt, g.valueAt)
}

// empty makes the entry of a key that has no rows.
func (r *Renderer) empty(key []byte) error {
	if !r.KeysOnly {
		return r.openGroup(key)
	}
	return r.addKeyOnly(len(r.batch.Buf), append(r.batch.Buf, key...))
}

// finish ends what is open after the last row and hands on the last batch. A
// rows job with a constant key and no rows has the value [].
func (r *Renderer) finish(rows int64) error {
	if r.job.Value == jobs.ValueRows && len(r.keys) == 0 && rows == 0 {
		if err := r.empty(r.job.Key.Append(nil, r.text)); err != nil {
			return err
		}
	}
	if err := r.closeGroup(); err != nil {
		return err
	}
	_, err := r.send(r.batch)
	return err
}
