package render

import (
	"errors"
	"fmt"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
)

// bind makes the function that renders keys of r.row: once, not for each row.
func (r *Renderer) bind() {
	r.text = func(dst []byte, column int) []byte {
		out, err := r.texts[column](dst, r.row[r.keys[column]])
		if err != nil {
			r.textErr = err
			return dst
		}
		return out
	}
	r.same = func(dst []byte, column int) []byte {
		if at := r.hashes[column]; at >= 0 {
			return append(dst, r.row[at]...)
		}
		return r.text(dst, column)
	}
}

// ForKeyColumns returns a renderer of the same keys for rows that have only the key columns,
// such as those of a reading's Given.
func (r *Renderer) ForKeyColumns() *Renderer {
	n := *r
	n.keys = make([]int, len(r.keys))
	for i := range n.keys {
		n.keys[i] = i
	}
	n.bind()
	return &n
}

// Key appends the row's key; ok is false where a key column is NULL.
func (r *Renderer) Key(dst []byte, row store.Row) (out []byte, ok bool, err error) {
	for _, i := range r.keys {
		if row[i] == nil {
			r.NullKeys++
			return dst, false, nil
		}
	}
	r.row, r.textErr = row, nil
	out = r.job.Key.Append(dst, r.text)
	if r.textErr != nil {
		return dst, false, fmt.Errorf("key of job %s: %w", r.job.Name, r.textErr)
	}
	key := out[len(dst):]
	if len(key) == 0 {
		return dst, false, r.refuse("the row's key is empty: give the key template a prefix")
	}
	if prefix := jobs.Reserved(key); prefix != "" {
		return dst, false, r.refuse("key %s begins with %s, which is reserved: give the key template a prefix", key,
			prefix)
	}
	return out, true, nil
}

// refuse is an error that asking again does not mend: query and key template do
// not go together.
func (r *Renderer) refuse(format string, args ...any) error {
	return &store.ShapeError{Job: r.job.Name, Message: fmt.Sprintf(format, args...)}
}

// SkipBad counts a row whose key is refused: a value that someone typed into the
// application must not be able to stop the job. Other errors of key are returned.
func (r *Renderer) SkipBad(err error) error {
	if _, refused := errors.AsType[*store.ShapeError](err); !refused {
		return err
	}
	r.BadKeys++
	if r.Warning == "" {
		r.Warning = err.Error() + "; it was skipped"
	}
	return nil
}

// Uncompressed makes the renderer leave values as they are before compression.
func (r *Renderer) Uncompressed() { r.compressor = nil }

// Clone returns a renderer of the same keys that has its own counters. It is used
// for keys alone.
func (r *Renderer) Clone() *Renderer {
	c := *r
	c.bind()
	return &c
}

// Columns is how many columns the key has.
func (r *Renderer) Columns() int { return len(r.keys) }

// ColumnText returns the text of a key column in the row that Key had last.
func (r *Renderer) ColumnText(column int) string { return string(r.text(nil, column)) }
