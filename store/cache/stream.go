package cache

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/redis/go-redis/v9"

	"github.com/stokerhq/stoker/store"
)

// look is what the book said to a connection that watches it since.
type look struct {
	valid  bool // the connection still watches
	mine   bool // the nonce is the armed one, the run field our stamp, and the deadline not over
	quiet  bool // no field is a key's
	pruned string
}

// stream writes a batch on a wire: it looks at the book while watching it, and
// what follows is executed only if the book is still as it was then. So the
// rules of put.lua hold, with the same answers, at the moment of EXEC. What
// cannot be decided so is left to the script.
//
// The look for the next batch rides behind the EXEC of this one: as long as the
// book is quiet a batch is one round trip.
func (c *Cache) stream(ctx context.Context, cl *Claim, b *store.Batch) (Outcome, error) {
	s := streaming{cl: cl, b: b, book: c.books.key(0)}
	rest, err := s.on(ctx, c)
	if err != nil && !answered(err) && ctx.Err() == nil {
		s = streaming{cl: cl, b: b, book: s.book}
		rest, err = s.on(ctx, c) // Redis may have closed a connection that was idle; to write twice is harmless
	}
	if err != nil {
		return s.out, fmt.Errorf("write %d keys, the first is %s: %w", b.Len(), b.Entry(0).Key, explain(err))
	}
	if len(rest) > 0 {
		out, err := c.putAll(ctx, cl, b, rest)
		s.out.Add(out)
		return s.out, err
	}
	return s.out, nil
}

// answered reports whether err is an answer of Redis', not of the connection.
func answered(err error) bool {
	_, ok := errors.AsType[redis.Error](err)
	return ok
}

// on does the work on one of the claim's wires.
func (s *streaming) on(ctx context.Context, c *Cache) (rest []int, err error) {
	if s.w, err = c.wire(ctx, s.cl); err != nil {
		return nil, err
	}
	if rest, err = s.do(ctx); err != nil {
		s.w.close()
		return nil, err
	}
	s.cl.release(s.w)
	return rest, nil
}

// streaming is one batch on its way.
type streaming struct {
	cl   *Claim
	w    *wire
	b    *store.Batch
	book string
	out  Outcome

	send  []int // positions of what is written or removed
	keep  []int // of what only has to be there
	touch []int // of what needs its TTL extended
}

// do returns the positions of the entries that the script must see to.
func (s *streaming) do(ctx context.Context) (rest []int, err error) {
	if !s.w.look.valid {
		s.ask(true)
		if err := s.w.flush(ctx); err != nil {
			return nil, err
		}
		if err := s.read(); err != nil {
			return nil, err
		}
	}
	free, err := s.free(ctx)
	if err != nil {
		return nil, err
	}
	if !free {
		s.w.look.valid = false
		return everything(s.b), nil
	}
	s.sort()
	return s.write(ctx)
}

// sort tells apart what is to be done with the entries.
func (s *streaming) sort() {
	for i := range s.b.Len() {
		switch e := s.b.Entry(i); {
		case e.Op != store.Keep:
			s.send = append(s.send, i)
		case !e.Extend:
			s.keep = append(s.keep, i)
		default:
			s.touch = append(s.touch, i)
		}
	}
}

// ask appends the look at the book. again: the connection may be watching since
// an older look, which would count what has happened since.
func (s *streaming) ask(again bool) {
	if again {
		s.w.command("UNWATCH")
	}
	s.w.command("WATCH", s.book)
	s.w.command("HMGET", s.book, "#n", s.cl.field, "#p")
	s.w.command("HLEN", s.book)
	s.w.command("TIME")
	s.w.look = look{valid: again} // remembers whether an answer more is to come
}

// read takes the answers to ask.
func (s *streaming) read() error {
	if s.w.look.valid {
		if _, err := s.w.reply(); err != nil {
			return err
		}
	}
	var replies [4]any
	for i := range replies {
		var err error
		if replies[i], err = s.w.reply(); err != nil {
			return err
		}
	}
	head, ok1 := replies[1].([]any)
	count, ok2 := replies[2].(int64)
	time, ok3 := replies[3].([]any)
	if !ok1 || !ok2 || !ok3 || len(head) != 3 || len(time) != 2 {
		return errors.New("redis answers a look at the book in a way that is not understood")
	}
	now, err := redisTime(time)
	if err != nil {
		return err
	}
	pruned, _ := head[2].(string)
	s.w.look = look{
		valid:  true,
		mine:   head[0] == s.cl.armed.nonces[0] && head[1] == s.cl.Stamp.String() && now <= s.cl.armed.deadline,
		quiet:  count == s.cl.meta,
		pruned: pruned,
	}
	return nil
}

// redisTime is the answer of TIME in milliseconds.
func redisTime(reply []any) (int64, error) {
	seconds, err1 := strconv.ParseInt(fmt.Sprint(reply[0]), 10, 64)
	micros, err2 := strconv.ParseInt(fmt.Sprint(reply[1]), 10, 64)
	return seconds*1000 + micros/1000, errors.Join(err1, err2)
}

// free reports whether nothing in the book concerns the batch.
func (s *streaming) free(ctx context.Context) (bool, error) {
	if !s.w.look.mine || s.w.look.quiet {
		return s.w.look.mine, nil
	}
	s.w.array(2 + s.b.Len())
	s.w.bulk([]byte("HMGET"))
	s.w.bulk([]byte(s.book))
	for i := range s.b.Len() {
		s.w.bulk(s.b.Entry(i).Key)
	}
	if err := s.w.flush(ctx); err != nil {
		return false, err
	}
	reply, err := s.w.reply()
	if err != nil {
		return false, err
	}
	fields, ok := reply.([]any)
	for _, f := range fields {
		ok = ok && f == nil
	}
	return ok, nil
}

// write sends the batch and the look for the next one.
func (s *streaming) write(ctx context.Context) (rest []int, err error) {
	if len(s.send) > 0 {
		s.transaction()
	}
	if len(s.keep) > 0 {
		s.exists()
	}
	s.ask(len(s.send) == 0)
	if err := s.w.flush(ctx); err != nil {
		return nil, err
	}
	done := true
	if len(s.send) > 0 {
		if done, err = s.executed(); err != nil {
			return nil, err
		}
	}
	there, err := s.counted()
	if err != nil {
		return nil, err
	}
	if err := s.read(); err != nil {
		return nil, err
	}
	if !done {
		rest = append(rest, s.send...)
	}
	// The keys were there before this look, and it shows no field of theirs: so
	// none was fenced since they were written, or will be seen to when it is.
	if l := s.w.look; there && l.mine && l.quiet && l.pruned == s.cl.pruned {
		s.out.Kept += int64(len(s.keep))
	} else {
		rest = append(rest, s.keep...)
	}
	return append(rest, s.touch...), nil
}

// transaction appends what is written and removed.
func (s *streaming) transaction() {
	w := s.w
	w.command("MULTI")
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
)

// number appends an integer, not negative, as an argument.
func (w *wire) number(n int64) {
	digits := 1
	for rest := n / 10; rest > 0; rest /= 10 {
		digits++
	}
	w.out = append(w.out, '$')
	w.out = strconv.AppendInt(w.out, int64(digits), 10)
	w.out = append(w.out, '\r', '\n')
	w.out = strconv.AppendInt(w.out, n, 10)
	w.out = append(w.out, '\r', '\n')
}

// executed reads the answers to a transaction; false: the book had changed, and
// nothing was done.
func (s *streaming) executed() (bool, error) {
	var refused error
	for range len(s.send) + 1 { // to MULTI, and QUEUED for each
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

// line reads one line of an answer, without its end. It is valid until the next.
func (w *wire) line() ([]byte, error) {
	line, err := w.in.ReadSlice('\n')
	if err != nil {
		return nil, fmt.Errorf("read the answer of redis: %w", err)
	}
	if len(line) < 3 {
		return nil, errors.New("read the answer of redis: an empty line")
	}
	return line[:len(line)-2], nil
}
