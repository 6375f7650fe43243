package cache

import (
	"context"
	"errors"
	"fmt"
	"strconv"
)

// look is what the book said to a connection that watches it since.
type look struct {
	valid  bool // the connection still watches
	mine   bool // the nonce is the armed one, the run field our stamp, and the deadline not over
	quiet  bool // no field is a key's
	pruned string
}

// ask appends the look at the book. It watches anew: what has happened since an
// older look, which no EXEC has ended, does not count.
func (s *streaming) ask() {
	s.w.command("UNWATCH")
	s.w.command("WATCH", s.book)
	s.w.command("HMGET", s.book, "#n", s.cl.field, "#p")
	s.w.command("HLEN", s.book)
	s.w.command("TIME")
	s.w.look = look{}
}

// read takes the answers to ask.
func (s *streaming) read() error {
	var replies [5]any
	for i := range replies {
		var err error
		if replies[i], err = s.w.reply(); err != nil {
			return err
		}
	}
	head, ok1 := replies[2].([]any)
	count, ok2 := replies[3].(int64)
	time, ok3 := replies[4].([]any)
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
