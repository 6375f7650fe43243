package render

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/encode"
)

// CacheState is what a run expects Redis to have of a key.
type CacheState int

// The states.
const (
	Absent   CacheState = iota // nothing, or another value: it must be sent
	Present                    // this value
	Expiring                   // this value, but its TTL may be half over
)

// Renderer turns the rows of a reading into entries, by the job's kind of value, and
// hands on the batch that they are in when it is full. It is used by one goroutine.
type Renderer struct {
	// Fill is the number of keys at which a batch is full. New sets it to BatchKeys.
	Fill int
	// KeysOnly makes keys without values, for a removal.
	KeysOnly bool
	// State returns what Redis has of a key, by what the last run wrote. nil: nothing is known.
	State func(key, value []byte) (CacheState, error)
	// Respelled is given the keys of rows that are equal to another row's, by their columns' own equality, and
	// are written to that one's key. nil: it need not be known.
	Respelled func(key []byte)
	// Suspects are keys that came back in the last run: they are written at the end, if they do not again.
	Suspects map[string]bool

	NullKeys   int64           // rows without a key
	Oversized  int64           // values over the job's limit, before they are compressed
	BadKeys    int64           // rows whose key may not be written
	Duplicates int64           // rows whose key another row has had, of a job that has one row a key
	Returned   map[string]bool // keys of a rows job that came back after other keys: what was written is not whole
	Warning    string          // the first of these but for NullKeys, and why

	job   *jobs.Job
	batch *store.Batch
	send  Send
	sent  int // keys of the batch whose value is sent
	bytes int // of these values and their keys

	keys       []int              // the key template's columns in a row
	texts      []encode.Append    // their texts
	format     encode.Format      // of values
	value      appendRow          // appends the value of a row
	envelope   *encode.Envelope   // nil: values are in none
	compressor *encode.Compressor // nil: values are not compressed
	whole      []byte             // the value that is being compressed

	had    keySet // keys of earlier rows
	hashes []int  // store.Reading.Hashes
	width  int    // cells of a row that belong to its value
	rowNo  int64  // of the row at hand, from 1
	group  group  // rows: the value that is being built

	row     store.Row // the row that text reads, so that text is not a new closure for each row
	textErr error
	text    func(dst []byte, column int) []byte
	same    func(dst []byte, column int) []byte // as text, but one for all values that are equal
}

// Send takes a full batch (nil: none yet) and returns an empty one.
type Send func(*store.Batch) (*store.Batch, error)

// New prepares for the columns of one reading, beginning with an empty
// batch from send.
func New(job *jobs.Job, reading *store.Reading, send Send) (*Renderer, error) {
	r, err := NewKeys(job, reading)
	if err != nil {
		return nil, err
	}
	r.send = send
	if err := r.values(reading); err != nil {
		return nil, err
	}
	r.batch, err = send(nil)
	return r, err
}

// NewKeys returns a Renderer that only names the keys of rows, which may have nothing but the key columns.
func NewKeys(job *jobs.Job, reading *store.Reading) (*Renderer, error) {
	r := &Renderer{job: job, keys: reading.Keys, Fill: BatchKeys, hashes: reading.Hashes, width: len(reading.Columns)}
	for _, i := range reading.Keys {
		text, ok := encode.KeyText(reading.Columns[i].OID)
		if !ok {
			return nil, &store.ShapeError{Job: job.Name,
				Message: fmt.Sprintf("column %s of type %s cannot be part of a key", reading.Columns[i].Name,
					reading.Columns[i].Type)}
		}
		r.texts = append(r.texts, text)
	}
	r.bind()
	return r, nil
}

// add makes the row's entry; of a rows job, it adds the row to the entry that is
// being built.
func (r *Renderer) add(row store.Row) error {
	if r.job.Value == jobs.ValueRows && !r.KeysOnly {
		return r.addToGroup(row)
	}
	b := r.batch
	keyAt := len(b.Buf)
	buf, ok, err := r.Key(b.Buf, row)
	if err != nil {
		return r.SkipBad(err)
	}
	if !ok {
		return nil
	}
	valueAt := len(buf)
	if r.KeysOnly {
		return r.addKeyOnly(keyAt, buf)
	}
	if r.duplicate(buf[keyAt:]) {
		b.Buf = buf[:keyAt] // keeps its memory
		return nil
	}
	if buf, err = r.value(buf, row); err != nil {
		return fmt.Errorf("key %s: %w", buf[keyAt:valueAt], err)
	}
	if r.envelope != nil {
		buf = r.envelope.Wrap(buf, valueAt)
	}
	b.Buf = buf
	if size := len(buf) - valueAt; size > r.job.MaxValueBytes {
		r.reject(buf[keyAt:valueAt], size)
		b.Buf = buf[:keyAt]
		return nil
	}
	return r.entry(keyAt, valueAt)
}

// addKeyOnly makes an entry without a value. The rows of one key name it once.
func (r *Renderer) addKeyOnly(keyAt int, buf []byte) error {
	b := r.batch
	if n := b.Len(); n > 0 && bytes.Equal(b.Entry(n-1).Key, buf[keyAt:]) {
		return nil
	}
	b.Buf = buf
	b.AddRemoval(keyAt)
	r.sent++
	return r.flush()
}

// A batch is full at this many keys or bytes that are sent, whichever comes first,
// because API nodes wait while Redis works on it: some 1.5 us a key, and a KB. To check
// whether a key is there costs a tenth of that; then the limit is what the values take
// in memory, in case that they must be sent after all.
const (
	BatchKeys  = 100 // that are sent
	batchBytes = 64 << 10
	BatchKept  = 200 // sent or only checked
	batchHeld  = 128 << 10
)

// entry ends an entry and hands on the batch if that filled it.
func (r *Renderer) entry(keyAt, valueAt int) error {
	b, what := r.batch, Absent
	if r.State != nil {
		var err error
		if what, err = r.State(b.Buf[keyAt:valueAt], b.Buf[valueAt:]); err != nil {
			return err
		}
	}
	if r.compressor != nil {
		r.whole = append(r.whole[:0], b.Buf[valueAt:]...)
		b.Buf = r.compressor.Append(b.Buf[:valueAt], r.whole)
	}
	b.Add(keyAt, valueAt, TTL(r.job))
	if what != Absent {
		b.Keep(what == Expiring)
	} else {
		r.sent++
		r.bytes += len(b.Buf) - keyAt
	}
	if b.Len() > 1 && r.bytes > batchBytes {
		return r.flushExceptLast()
	}
	return r.flush()
}

// flushExceptLast hands on what came before the last entry, which would make the batch
// too large.
func (r *Renderer) flushExceptLast() error {
	full, size := r.batch, r.batch.Size()
	var last store.Batch
	full.Move(&last)
	size -= full.Size()
	b, err := r.send(full)
	if err != nil {
		return err
	}
	r.batch, r.sent, r.bytes = b, 1, size
	last.Move(b)
	return r.flush()
}

// flush hands on the batch if it is full.
func (r *Renderer) flush() (err error) {
	if r.sent >= r.Fill || r.bytes >= batchBytes || r.batch.Len() >= BatchKept || r.batch.Size() >= batchHeld {
		r.batch, err = r.send(r.batch)
		r.sent, r.bytes = 0, 0
	}
	return err
}

// RenderAll makes entries of every row, calls count with the number of each, and hands on the
// last batch.
func (r *Renderer) RenderAll(rows store.Rows, count func(n int64)) error {
	n := int64(0)
	for row, err := range rows {
		if err != nil {
			return err
		}
		n++
		r.rowNo = n
		count(n)
		if err := r.add(row); err != nil {
			if _, named := errors.AsType[*RowError](err); named {
				return err
			}
			return &RowError{n, err}
		}
	}
	return r.finish(n)
}

// RowError names the row at which a reading ended.
type RowError struct {
	Row int64 // from 1
	Err error
}

func (e *RowError) Error() string { return fmt.Sprintf("row %d: %v", e.Row, e.Err) }
func (e *RowError) Unwrap() error { return e.Err }

// reject counts a value over the limit.
func (r *Renderer) reject(key []byte, size int) {
	r.Oversized++
	if r.Warning == "" {
		r.Warning = fmt.Sprintf("key %s: a value of %d bytes is over max_value_bytes (%d): it was not written; "+
			"select less, or raise max_value_bytes", key, size, r.job.MaxValueBytes)
	}
}

// TTL is the job's TTL, shortened at random by up to its jitter, so that keys
// written together do not expire together. It is never prolonged: the TTL says
// how long an old value is better than none.
func TTL(job *jobs.Job) time.Duration {
	if spread := time.Duration(float64(job.TTL) * job.Jitter); spread > 0 {
		return job.TTL - rand.N(spread+1)
	}
	return job.TTL
}
