package worker

import (
	"errors"
	"fmt"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
)

// bind makes the function that renders keys of s.row: once, not for each row.
func (s *renderer) bind() {
	s.text = func(dst []byte, column int) []byte {
		out, err := s.texts[column](dst, s.row[s.keys[column]])
		if err != nil {
			s.textErr = err
			return dst
		}
		return out
	}
}

// narrow returns a shaper of the same keys for rows that have the key columns alone,
// as a reading's Given has them.
func (s *renderer) forKeyColumns() *renderer {
	n := *s
	n.keys = make([]int, len(s.keys))
	for i := range n.keys {
		n.keys[i] = i
	}
	n.bind()
	return &n
}

// key appends the row's key; ok is false where a key column is NULL.
func (s *renderer) key(dst []byte, row store.Row) (out []byte, ok bool, err error) {
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
	if prefix := jobs.Reserved(key); prefix != "" {
		return dst, false, s.refuse("key %s begins with %s, which is reserved: give the key template a prefix", key, prefix)
	}
	return out, true, nil
}

// refuse is an error that asking again does not mend: query and key template do
// not go together.
func (s *renderer) refuse(format string, args ...any) error {
	return &store.ShapeError{Job: s.job.Name, Message: fmt.Sprintf(format, args...)}
}

// skipBad counts a row whose key is refused: a value that someone typed into the
// application must not be able to stop the job. Other errors of key are returned.
func (s *renderer) skipBad(err error) error {
	if _, refused := errors.AsType[*store.ShapeError](err); !refused {
		return err
	}
	s.badKeys++
	if s.warning == "" {
		s.warning = err.Error() + "; it was skipped"
	}
	return nil
}
