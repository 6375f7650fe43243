package cache

import "github.com/stokerhq/stoker/store"

// transaction appends what is written and removed, and first what the journal says of
// it.
func (s *streaming) transaction() {
	w := s.w
	w.command("MULTI")
	if len(s.b.Journal) > 0 {
		w.array(3)
		w.bulk(rpush)
		w.bulk([]byte(s.cl.journal))
		w.bulk(s.b.Journal)
	}
	for _, i := range s.send {
		e := s.b.Entry(i)
		if e.Op == store.Remove {
			w.array(2)
			w.bulk(unlink)
			w.bulk(e.Key)
			continue
		}
		w.out = append(w.out, setHead...)
		w.bulk(e.Key)
		w.bulk(e.Value)
		w.out = append(w.out, pxHead...)
		w.number(milliseconds(e))
	}
	w.command("EXEC")
}

var (
	setHead = []byte("*5\r\n$3\r\nSET\r\n")
	pxHead  = []byte("$2\r\nPX\r\n")
	unlink  = []byte("UNLINK")
	rpush   = []byte("RPUSH")
)

// executed reads the answers to a transaction; false: the book had changed, and
// nothing was done.
func (s *streaming) executed() (bool, error) {
	var refused error
	journals := min(1, len(s.b.Journal))
	for range 1 + journals + len(s.send) { // to MULTI, and QUEUED for each
		line, err := s.w.line()
		if err != nil {
			return false, err
		}
		if line[0] == '-' && refused == nil {
			refused = replyError(line[1:])
		}
	}
	line, err := s.w.line()
	switch {
	case err != nil:
		return false, err
	case refused != nil:
		return false, refused
	case line[0] == '-':
		return false, replyError(line[1:])
	case string(line) == "*-1" || string(line) == "_":
		return false, nil
	}
	for range journals {
		if _, err := s.w.line(); err != nil {
			return false, err
		}
	}
	for _, i := range s.send {
		line, err := s.w.line()
		if err != nil {
			return false, err
		}
		s.count(s.b.Entry(i), line, &refused)
	}
	return true, refused
}

func (s *streaming) count(e store.Entry, line []byte, refused *error) {
	switch {
	case line[0] == '-':
		*refused = replyError(line[1:])
	case e.Op != store.Remove:
		s.out.Written++
		s.out.Bytes += int64(e.Size())
	case string(line) == ":1":
		s.out.Removed++
	}
}

// exists appends the question how many of the kept keys are there.
func (s *streaming) exists() {
	s.w.array(1 + len(s.keep))
	s.w.bulk([]byte("EXISTS"))
	for _, i := range s.keep {
		s.w.bulk(s.b.Entry(i).Key)
	}
}

// counted reads the answer to exists: whether all of them are.
func (s *streaming) counted() (bool, error) {
	if len(s.keep) == 0 {
		return true, nil
	}
	n, err := s.w.reply()
	return n == int64(len(s.keep)), err
}
