package cache

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/redis/go-redis/v9"

	"github.com/stokerhq/stoker/store/cache/resp"
)

// bookState is what the book said to a connection that watches it since.
type bookState struct {
	valid  bool // the connection still watches
	mine   bool // the nonce is the armed one, the run field our stamp, and the deadline not over
	quiet  bool // no field is a key's
	pruned string
}

// readBook appends the commands that read the book. It watches anew: what has happened since an
// older look, which no EXEC has ended, does not count.
func (s *txBatch) readBook() {
	s.w.Command("UNWATCH")
	s.w.Command("WATCH", s.book)
	s.w.Command("HMGET", s.book, "#n", s.cl.field, "#p")
	s.w.Command("HLEN", s.book)
	s.w.Command("TIME")
	s.w.book = bookState{}
}

// readAnswers takes the answers to readBook.
func (s *txBatch) readAnswers() error {
	var replies [5]any
	for i := range replies {
		var err error
		if replies[i], err = s.w.Reply(); err != nil {
			return err
		}
	}
	head, ok1 := replies[2].([]any)
	count, ok2 := replies[3].(int64)
	clock, ok3 := replies[4].([]any)
	if !ok1 || !ok2 || !ok3 || len(head) != 3 || len(clock) != 2 {
		return errors.New("redis answers the commands that read the book in an unexpected way")
	}
	now, err := redisTime(clock)
	if err != nil {
		return err
	}
	s.cl.lookups.Add(oneKey(head[0] != nil, 2))
	pruned, _ := head[2].(string)
	s.w.book = bookState{
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
func (s *txBatch) free(ctx context.Context) (bool, error) {
	if !s.w.book.mine || s.w.book.quiet {
		return s.w.book.mine, nil
	}
	s.w.Array(2 + s.b.Len())
	s.w.Bulk([]byte("HMGET"))
	s.w.Bulk([]byte(s.book))
	for i := range s.b.Len() {
		s.w.Bulk(s.b.Entry(i).Key)
	}
	if err := s.w.Flush(ctx); err != nil {
		return false, err
	}
	reply, err := s.w.Reply()
	if err != nil {
		return false, err
	}
	s.cl.lookups.Add(1, 0) // the book
	fields, ok := reply.([]any)
	for _, f := range fields {
		ok = ok && f == nil
	}
	return ok, nil
}

// bookConn is a connection of a run's writers, with what the book said to it.
type bookConn struct {
	*resp.Conn
	book bookState
}

// maxConns is how many connections a run's writers use at most.
const maxConns = 8

// conn returns a connection of the claim: one that was used before, if there is one.
func (c *Cache) conn(ctx context.Context, cl *Claim) (*bookConn, error) {
	select {
	case w := <-cl.conns:
		return w, nil
	default:
		return c.dial(ctx, cl)
	}
}

// dial returns a new connection for the claim. byTransaction has checked that the client is not a
// cluster's.
func (c *Cache) dial(ctx context.Context, _ *Claim) (*bookConn, error) {
	conn, err := resp.Dial(ctx, c.c.(*redis.Client).Options())
	if err != nil {
		return nil, err
	}
	return &bookConn{Conn: conn}, nil
}

// release gives a connection back for the next batch.
func (cl *Claim) release(w *bookConn) {
	select {
	case cl.conns <- w:
	default:
		w.Close()
	}
}
