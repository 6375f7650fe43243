package worker

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/encode"
)

// shaper turns the rows of a reading into entries, by the job's kind of value,
// and hands on the batch they are in when it is full. It is used by one
// goroutine.
type renderer struct {
	job      *jobs.Job
	batch    *store.Batch
	send     func(*store.Batch) (*store.Batch, error)    // takes a full batch, returns an empty one
	fill     int                                         // keys at which a batch is full
	sent     int                                         // of them, those whose value is sent
	bytes    int                                         // of these values and their keys
	keysOnly bool                                        // keys without values, for a removal
	known    func(key, value []byte) (cacheState, error) // what is known of a key from the last run; nil: nothing

	keys   []int              // the key template's columns in a row
	texts  []encode.Append    // their texts
	format encode.Format      // of values
	value  appendRow          // appends the value of a row
	small  *encode.Compressor // nil: values are not compressed
	whole  []byte             // the value that is being compressed

	nullKeys  int64  // rows without a key
	oversized int64  // values over the job's limit, before they are compressed
	badKeys   int64  // rows whose key may not be written
	warning   string // the first of these, and why

	group group // rows: the value that is being built

	row     store.Row // what text reads, so that it is no new closure each row
	textErr error
	text    func(dst []byte, column int) []byte
}

// newShaper prepares for the columns of one reading, beginning with an empty
// batch from send.
func newRenderer(job *jobs.Job, r *store.Reading, send func(*store.Batch) (*store.Batch, error)) (*renderer, error) {
	s := &renderer{job: job, keys: r.Keys, send: send, fill: batchKeys}
	for _, i := range r.Keys {
		text, ok := encode.KeyText(r.Columns[i].OID)
		if !ok {
			return nil, &store.ShapeError{Job: job.Name, Message: fmt.Sprintf("column %s of type %s cannot be part of a key", r.Columns[i].Name, r.Columns[i].Type)}
		}
		s.texts = append(s.texts, text)
	}
	s.bind()
	if err := s.values(r); err != nil {
		return nil, err
	}
	var err error
	s.batch, err = send(nil)
	return s, err
}

// add makes the row's entry; of a rows job, it adds the row to the entry that is
// being built.
func (s *renderer) add(row store.Row) error {
	if s.job.Value == jobs.ValueRows && !s.keysOnly {
		return s.addToGroup(row)
	}
	b := s.batch
	keyAt := len(b.Buf)
	buf, ok, err := s.key(b.Buf, row)
	if err != nil {
		return s.skipBad(err)
	}
	if !ok {
		return nil
	}
	valueAt := len(buf)
	if s.keysOnly {
		return s.addKeyOnly(keyAt, buf)
	}
	if buf, err = s.value(buf, row); err != nil {
		return fmt.Errorf("key %s: %w", buf[keyAt:valueAt], err)
	}
	b.Buf = buf
	if size := len(buf) - valueAt; size > s.job.MaxValueBytes {
		s.reject(buf[keyAt:valueAt], size)
		b.Buf = buf[:keyAt]
		return nil
	}
	return s.entry(keyAt, valueAt)
}

// addBare makes an entry without a value. The rows of one key name it once.
func (s *renderer) addKeyOnly(keyAt int, buf []byte) error {
	b := s.batch
	if n := b.Len(); n > 0 && bytes.Equal(b.Entry(n-1).Key, buf[keyAt:]) {
		return nil
	}
	b.Buf = buf
	b.AddRemoval(keyAt)
	s.sent++
	return s.flush()
}

// A batch is handed on at this many keys or bytes that are sent, whichever comes
// first, because API nodes wait while Redis works on it: some 1.5 us a key, and a
// KB. To look whether a key is there costs a tenth of that; then what the values
// take in memory is the limit, in case that they must be sent after all.
const (
	batchKeys  = 100
	batchBytes = 64 << 10
	batchKept  = 200
	batchHeld  = 128 << 10
)

// entry ends an entry and hands on the batch if that filled it.
func (s *renderer) entry(keyAt, valueAt int) error {
	b, what := s.batch, absent
	if s.known != nil {
		var err error
		if what, err = s.known(b.Buf[keyAt:valueAt], b.Buf[valueAt:]); err != nil {
			return err
		}
	}
	if s.small != nil {
		s.whole = append(s.whole[:0], b.Buf[valueAt:]...)
		b.Buf = s.small.Append(b.Buf[:valueAt], s.whole)
	}
	b.Add(keyAt, valueAt, ttl(s.job))
	if what != absent {
		b.Keep(what == expiring)
	} else {
		s.sent++
		s.bytes += len(b.Buf) - keyAt
	}
	if b.Len() > 1 && s.bytes > batchBytes {
		return s.flushExceptLast()
	}
	return s.flush()
}

// handOnBut hands on what came before the last entry, which would make the batch
// too large.
func (s *renderer) flushExceptLast() error {
	full, size := s.batch, s.batch.Size()
	var last store.Batch
	full.Move(&last)
	size -= full.Size()
	b, err := s.send(full)
	if err != nil {
		return err
	}
	s.batch, s.sent, s.bytes = b, 1, size
	last.Move(b)
	return s.flush()
}

// handOn hands on the batch if it is full.
func (s *renderer) flush() (err error) {
	if s.sent >= s.fill || s.bytes >= batchBytes || s.batch.Len() >= batchKept || s.batch.Size() >= batchHeld {
		s.batch, err = s.send(s.batch)
		s.sent, s.bytes = 0, 0
	}
	return err
}

// pour makes entries of every row, telling each of its number, and hands on the
// last batch.
func (s *renderer) renderAll(rows store.Rows, count func(n int64)) error {
	n := int64(0)
	for row, err := range rows {
		if err != nil {
			return err
		}
		n++
		count(n)
		if err := s.add(row); err != nil {
			return &rowError{n, err}
		}
	}
	return s.finish(n)
}

// rowError names the row that a reading could not go on with.
type rowError struct {
	n   int64
	err error
}

func (e *rowError) Error() string { return fmt.Sprintf("row %d: %v", e.n, e.err) }
func (e *rowError) Unwrap() error { return e.err }

// reject counts a value over the limit.
func (s *renderer) reject(key []byte, size int) {
	s.oversized++
	if s.warning == "" {
		s.warning = fmt.Sprintf("key %s: a value of %d bytes is over max_value_bytes (%d): it was not written; select less, or raise max_value_bytes", key, size, s.job.MaxValueBytes)
	}
}

// ttl is the job's TTL, shortened at random by up to its jitter, so that keys
// written together do not expire together. It is never prolonged: the TTL says
// how long an old value is better than none.
func ttl(job *jobs.Job) time.Duration {
	if spread := time.Duration(float64(job.TTL) * job.Jitter); spread > 0 {
		return job.TTL - rand.N(spread+1)
	}
	return job.TTL
}
