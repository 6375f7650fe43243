package render

import (
	"bytes"
	"fmt"
	"hash/maphash"
	"slices"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
)

// group is the value of a rows job that is being built at the end of a batch:
// the rows of one key, which must follow one another.
type group struct {
	open           bool
	skip           bool // its rows are left out: the key came back
	keyAt, valueAt int
	rows           int // in the value
	size           int // of a value that outgrew the limit; 0 while it fits

	// seen holds a 64-bit fingerprint of every closed key: some 16 bytes a key, so
	// that a key that comes back is noticed. With a random seed, one run in some
	// 370,000 over ten million keys takes two for the same; the next goes through.
	seen map[uint64]struct{}
	seed maphash.Seed
	next []byte // the key of the row at hand

	// Where values are equal that have several texts, rows are of one group by what their key columns are
	// equal to, as the database orders them. Its key is the smallest of their keys, byte by byte.
	nextSame, same []byte            // what the key of the row at hand, and of the group, is equal to
	key            []byte            // the smallest so far
	keys           map[uint64]string // :: fingerprint of a closed group -> its key

	first error         // the first key that came back
	late  []store.Entry // of suspects, to be written at the end
}

// mostReturned is how many keys may come back before the run fails: its query does not order the rows by key.
const mostReturned = 20

// mostLate bounds the value of a suspect that is held back until the end.
const mostLate = 64 << 10

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
	same := key
	if r.hashes != nil {
		g.nextSame = r.job.Key.Append(g.nextSame[:0], r.same)
		same = g.nextSame
	}
	switch {
	case !g.open || !bytes.Equal(same, g.same):
		if err := r.closeGroup(); err != nil {
			return err
		}
		if err := r.openGroup(key, same); err != nil {
			return err
		}
	case g.skip:
	default:
		r.respell(key)
		if g.size == 0 {
			r.batch.Buf = r.format.Separate(r.batch.Buf)
		}
	}
	if g.skip {
		return nil
	}
	return r.grow(row[:r.width])
}

// openGroup begins the value of a key that was not there before; same is what it is equal to.
func (r *Renderer) openGroup(key, same []byte) error {
	g, b := &r.group, r.batch
	if g.seen == nil {
		g.seen, g.seed = make(map[uint64]struct{}), maphash.MakeSeed()
		g.keys = make(map[uint64]string)
	}
	g.open, g.skip, g.same, g.key = true, false, append(g.same[:0], same...), append(g.key[:0], key...)
	fingerprint := maphash.Bytes(g.seed, same)
	if _, back := g.seen[fingerprint]; back {
		if written, known := g.keys[fingerprint]; known {
			key = []byte(written)
		}
		g.skip = true
		return r.comesBack(key)
	}
	g.seen[fingerprint] = struct{}{}
	g.rows, g.size, g.keyAt = 0, 0, len(b.Buf)
	b.Buf = append(b.Buf, key...)
	g.valueAt = len(b.Buf)
	b.Buf = r.format.OpenArray(b.Buf)
	return nil
}

// respell takes note of the key of another row of the group, which may be written otherwise.
func (r *Renderer) respell(key []byte) {
	g := &r.group
	if r.hashes == nil || bytes.Equal(key, g.key) {
		return
	}
	other := key
	if bytes.Compare(key, g.key) < 0 {
		other = bytes.Clone(g.key)
		g.key = append(g.key[:0], key...)
	}
	if r.Respelled != nil {
		r.Respelled(other)
	}
}

// comesBack says that the rows of a key did not follow one another: what was written of it is not whole. That
// costs this key, unless there are so many that the query cannot be right.
func (r *Renderer) comesBack(key []byte) error {
	if r.Returned[string(key)] {
		return nil
	}
	err := r.refuse("key %s comes back after other keys: the rows of one key must follow one another (ORDER BY "+
		"the key columns first)", key)
	if r.Returned == nil {
		r.Returned, r.group.first = make(map[string]bool), &RowError{r.rowNo, err}
	}
	if r.Returned[string(key)] = true; len(r.Returned) > mostReturned {
		return r.group.first
	}
	if r.Warning == "" {
		r.Warning = err.Error() + "; it was removed"
	}
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
	if g.skip {
		return nil
	}
	if g.size > 0 {
		r.reject(g.key, g.size)
		b.Buf = b.Buf[:g.keyAt]
		return nil
	}
	b.Buf = r.format.CloseArray(b.Buf, g.valueAt, g.rows)
	if r.envelope != nil {
		b.Buf = r.envelope.Wrap(b.Buf, g.valueAt)
		if size := len(b.Buf) - g.valueAt; size > r.job.MaxValueBytes {
			r.reject(g.key, size)
			b.Buf = b.Buf[:g.keyAt]
			return nil
		}
	}
	if r.hashes != nil {
		if err := r.nameGroup(); err != nil || g.skip {
			return err
		}
	}
	if value := b.Buf[g.valueAt:]; r.Suspects[string(g.key)] && len(value) <= mostLate {
		g.late = append(g.late, store.Entry{Key: bytes.Clone(g.key), Value: bytes.Clone(value)})
		b.Buf = b.Buf[:g.keyAt]
		return nil
	}
	return r.entry(g.keyAt, g.valueAt)
}

// nameGroup gives the group its key, now that all of its rows are known. Another group may have made the same
// key of other columns.
func (r *Renderer) nameGroup() error {
	g, b := &r.group, r.batch
	fingerprint := maphash.Bytes(g.seed, g.key)
	if _, back := g.keys[fingerprint]; back {
		b.Buf = b.Buf[:g.keyAt]
		g.skip = true
		return r.comesBack(g.key)
	}
	g.keys[fingerprint] = string(g.key)
	g.keys[maphash.Bytes(g.seed, g.same)] = string(g.key)
	b.Buf = slices.Replace(b.Buf, g.keyAt, g.valueAt, g.key...)
	g.valueAt = g.keyAt + len(g.key)
	return nil
}

// addLate writes the suspects that have not come back.
func (r *Renderer) addLate() error {
	for _, e := range r.group.late {
		if r.Returned[string(e.Key)] {
			continue
		}
		at := len(r.batch.Buf)
		r.batch.Buf = append(append(r.batch.Buf, e.Key...), e.Value...)
		if err := r.entry(at, at+len(e.Key)); err != nil {
			return err
		}
	}
	return nil
}

// empty makes the entry of a key that has no rows.
func (r *Renderer) empty(key []byte) error {
	if !r.KeysOnly {
		return r.openGroup(key, key)
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
	if 2*len(r.Returned) > len(r.group.seen) {
		return r.group.first
	}
	if err := r.addLate(); err != nil {
		return err
	}
	_, err := r.send(r.batch)
	return err
}
