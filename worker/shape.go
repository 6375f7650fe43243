package worker

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/encode"
)

// shaper turns the rows of a reading into entries, by the job's kind of value,
// and hands on the batch they are in when it is full. It is used by one
// goroutine.
type shaper struct {
	job   *jobs.Job
	batch *store.Batch
	send  func(*store.Batch) (*store.Batch, error) // takes a full batch, returns an empty one
	fill  int                                      // keys at which a batch is full
	bare  bool                                     // keys without values, for a removal
	known func(key, value []byte) (known, error)   // what is known of a key from the last run; nil: nothing

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

// appendRow appends what a row becomes.
type appendRow func(dst []byte, row store.Row) ([]byte, error)

// newShaper prepares for the columns of one reading, beginning with an empty
// batch from send.
func newShaper(job *jobs.Job, r *store.Reading, send func(*store.Batch) (*store.Batch, error)) (*shaper, error) {
	s := &shaper{job: job, keys: r.Keys, send: send, fill: batchKeys}
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

// bind makes the function that renders keys of s.row: once, not for each row.
func (s *shaper) bind() {
	s.text = func(dst []byte, column int) []byte {
		out, err := s.texts[column](dst, s.row[s.keys[column]])
		if err != nil {
			s.textErr = err
			return dst
		}
		return out
	}
}

// values chooses how a row becomes a value.
func (s *shaper) values(r *store.Reading) (err error) {
	s.format = encode.Format(s.job.Format)
	switch {
	case s.job.Type == jobs.TypeHash:
		s.value, err = hash(r.Columns)
	case s.job.Value == jobs.ValueScalar:
		at := slices.IndexFunc(r.Columns, func(c store.Column) bool { return !slices.Contains(s.job.Key.Columns(), c.Name) })
		s.value, err = scalar(s.format, r.Columns[at], at)
	default:
		s.value, err = object(s.format, r.Columns)
	}
	if err == nil && s.job.Compress != jobs.CompressNone {
		s.small, err = encode.NewCompressor(encode.Compression(s.job.Compress), s.job.CompressAbove)
	}
	if err != nil {
		return fmt.Errorf("encode job %s: %w", s.job.Name, err)
	}
	return nil
}

func hash(cols []store.Column) (appendRow, error) {
	h, err := encode.NewHash(cols)
	if err != nil {
		return nil, err
	}
	return h.AppendRow, nil
}

func scalar(f encode.Format, col store.Column, at int) (appendRow, error) {
	cell, err := f.Cell(col)
	return func(dst []byte, row store.Row) ([]byte, error) { return cell(dst, row[at]) }, err
}

func object(f encode.Format, cols []store.Column) (appendRow, error) {
	o, err := f.NewObject(cols)
	if err != nil {
		return nil, err
	}
	return o.AppendRow, nil
}

// add makes the row's entry; of a rows job, it adds the row to the entry that is
// being built.
func (s *shaper) add(row store.Row) error {
	if s.job.Value == jobs.ValueRows && !s.bare {
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
	if s.bare {
		return s.addBare(keyAt, buf)
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
func (s *shaper) addBare(keyAt int, buf []byte) error {
	b := s.batch
	if n := b.Len(); n > 0 && bytes.Equal(b.Entry(n-1).Key, buf[keyAt:]) {
		return nil
	}
	b.Buf = buf
	b.AddRemoval(keyAt)
	return s.handOn()
}

// A batch is handed on at this many keys or bytes, whichever comes first: what
// one pipeline makes API nodes wait for.
const (
	batchKeys  = 100
	batchBytes = 64 << 10
)

// entry ends an entry and hands on the batch if that filled it.
func (s *shaper) entry(keyAt, valueAt int) error {
	b, what := s.batch, unknown
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
	if what != unknown {
		b.Keep(what == fading)
	}
	if b.Len() > 1 && b.Size() > batchBytes {
		return s.handOnBut()
	}
	return s.handOn()
}

// handOnBut hands on what came before the last entry, which would make the batch
// too large.
func (s *shaper) handOnBut() error {
	full := s.batch
	var last store.Batch
	full.Move(&last)
	b, err := s.send(full)
	if err != nil {
		return err
	}
	s.batch = b
	last.Move(b)
	return s.handOn()
}

// handOn hands on the batch if it is full.
func (s *shaper) handOn() (err error) {
	if s.batch.Len() >= s.fill || s.batch.Size() >= batchBytes {
		s.batch, err = s.send(s.batch)
	}
	return err
}

// pour makes entries of every row, telling each of its number, and hands on the
// last batch.
func (s *shaper) pour(rows store.Rows, count func(n int64)) error {
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

// key appends the row's key; ok is false where a key column is NULL.
func (s *shaper) key(dst []byte, row store.Row) (out []byte, ok bool, err error) {
	for _, i := range s.keys {
		if row[i] == nil {
			s.nullKeys++
			return dst, false, nil
		}
	}
	s.row, s.textErr = row, nil
	out = s.job.Key.Append(dst, s.text)
	if s.textErr != nil {
		return dst, false, fmt.Errorf("key of job %s: %w", s.job.Name, s.textErr)
	}
	key := out[len(dst):]
	if len(key) == 0 {
		return dst, false, s.refuse("the row's key is empty: give the key template a prefix")
	}
	for _, ours := range reserved {
		if bytes.HasPrefix(key, ours) {
			return dst, false, s.refuse("key %s begins with %s, which is reserved: give the key template a prefix", key, ours)
		}
	}
	return out, true, nil
}

// reserved is how no key of the user's may begin: with the mark of the book's
// own fields, or as our records and Asynq's. A template that begins with a
// column can come to any of them, whatever jobs checked of its text.
var reserved = [][]byte{[]byte("#"), []byte("stoker:"), []byte("asynq:")}

// refuse is an error that asking again does not mend: query and key template do
// not go together.
func (s *shaper) refuse(format string, args ...any) error {
	return &store.ShapeError{Job: s.job.Name, Message: fmt.Sprintf(format, args...)}
}

// reject counts a value over the limit.
func (s *shaper) reject(key []byte, size int) {
	s.oversized++
	if s.warning == "" {
		s.warning = fmt.Sprintf("key %s: a value of %d bytes is over max_value_bytes (%d): it was not written; select less, or raise max_value_bytes", key, size, s.job.MaxValueBytes)
	}
}

// skipBad counts a row whose key is refused: a value that someone typed into the
// application must not be able to stop the job. Other errors of key are returned.
func (s *shaper) skipBad(err error) error {
	if _, refused := errors.AsType[*store.ShapeError](err); !refused {
		return err
	}
	s.badKeys++
	if s.warning == "" {
		s.warning = err.Error() + "; it was skipped"
	}
	return nil
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
