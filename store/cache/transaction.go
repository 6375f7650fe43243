package cache

import (
	"context"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/cache/patience"
	"github.com/stokerhq/stoker/store/cache/resp"
)

// stream writes a batch on a connection of its own: it reads the book while watching it, and
// what follows is executed only if the book is still as it was then. So the
// rules of put.lua hold, with the same answers, at the moment of EXEC. What
// cannot be decided so is left to the script.
//
// The commands that read the book for the next batch follow the EXEC of this one: as long as the
// book is quiet a batch is one round trip.
func (c *Cache) stream(ctx context.Context, cl *Claim, b *store.Batch) (Outcome, error) {
	out, rest, err := c.streamed(ctx, cl, b)
	if err == nil && len(rest) > 0 {
		err = c.journal(ctx, cl, b)
	}
	if err != nil || len(rest) == 0 {
		return out, err
	}
	more, err := c.putAll(ctx, cl, b, rest)
	out.Add(more)
	return out, err
}

// attemptLimit is how long a batch may take on one connection before it is sent again on another one, which takes twice
// as long: a connection can be dead without a sign, and a large value can take long.
const attemptLimit = 10 * time.Second

// streamed is stream without what is left to the script: it returns these
// entries' positions.
func (c *Cache) streamed(ctx context.Context, cl *Claim, b *store.Batch) (Outcome, []int, error) {
	limit := attemptLimit
	attempt := func(dial func(context.Context, *Claim) (*bookConn, error)) (s txBatch, rest []int, err error) {
		limited, cancel := context.WithTimeout(ctx, limit)
		defer cancel()
		s = txBatch{cl: cl, b: b, book: c.names.Book(0)}
		rest, err = s.on(limited, dial)
		limit *= 2
		return s, rest, err
	}
	s, rest, err := attempt(c.conn)
	if err != nil && !answered(err) && !patience.Silent(err) && ctx.Err() == nil {
		s, rest, err = attempt(c.dial) // Redis may have closed all that were idle; to write twice is harmless
	}
	for patience.Of(ctx).Await(ctx, c.answers, err) {
		s, rest, err = attempt(c.dial)
	}
	if err != nil {
		err = wrap(err, "write", b, everything(b))
	}
	return s.out, rest, err
}

// answered reports whether err is an answer of Redis', not of the connection.
func answered(err error) bool {
	_, ok := errors.AsType[redis.Error](err)
	return ok
}

// on does the work on a connection that it is given.
func (s *txBatch) on(ctx context.Context, dial func(context.Context, *Claim) (*bookConn, error)) (rest []int,
	err error) {
	if s.w, err = dial(ctx, s.cl); err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, s.w.Interrupt)
	rest, err = s.do(ctx)
	if !stop() && err == nil {
		s.w.Close() // it may be interrupted yet
		return rest, nil
	}
	if err != nil {
		s.w.Close()
		return nil, err
	}
	s.cl.release(s.w)
	return rest, nil
}

// txBatch is one batch on its way.
type txBatch struct {
	cl   *Claim
	w    *bookConn
	b    *store.Batch
	book string
	out  Outcome

	send  []int // positions of what is written or removed
	keep  []int // of what only has to be there
	touch []int // of what needs its TTL extended
	trust bool  // no field was pruned that was written since the last run: keys without one are as it left them
}

// do returns the positions of the entries that are left to the script.
func (s *txBatch) do(ctx context.Context) (rest []int, err error) {
	if !s.w.book.valid {
		s.readBook()
		if err := s.w.Flush(ctx); err != nil {
			return nil, err
		}
		if err := s.readAnswers(); err != nil {
			return nil, err
		}
	}
	free, err := s.free(ctx)
	if err != nil {
		return nil, err
	}
	if !free {
		s.w.book.valid = false
		return everything(s.b), nil
	}
	s.trust = s.w.book.pruned < s.cl.since
	s.sort()
	return s.write(ctx)
}

// sort separates what is to be done with the entries.
func (s *txBatch) sort() {
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

// write sends the batch and the commands that read the book for the next one.
func (s *txBatch) write(ctx context.Context) (rest []int, err error) {
	if len(s.send) > 0 {
		s.transaction()
	}
	if len(s.keep) > 0 {
		s.exists()
	}
	s.readBook()
	if err := s.w.Flush(ctx); err != nil {
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
	if err := s.readAnswers(); err != nil {
		return nil, err
	}
	if !done {
		rest = append(rest, s.send...)
	}
	// At the look none of the keys had a field, and now they are there: what they
	// have is what the last run wrote. A fence in between is not our concern, its
	// refresh writes the value, and leaves a field that the next run finds.
	if there && s.trust {
		s.out.Kept += int64(len(s.keep))
	} else {
		rest = append(rest, s.keep...)
	}
	return append(rest, s.touch...), nil
}

// transaction appends what is written and removed, and first what the journal says of
// it.
func (s *txBatch) transaction() {
	w := s.w
	w.Command("MULTI")
	if len(s.b.Journal) > 0 {
		w.Array(3)
		w.Bulk(rpush)
		w.Bulk([]byte(s.cl.journal))
		w.Bulk(s.b.Journal)
	}
	for _, i := range s.send {
		e := s.b.Entry(i)
		if e.Op == store.Remove {
			w.Array(2)
			w.Bulk(unlink)
			w.Bulk(e.Key)
			continue
		}
		w.Raw(setHead)
		w.Bulk(e.Key)
		w.Bulk(e.Value)
		w.Raw(pxHead)
		w.Number(milliseconds(e))
	}
	w.Command("EXEC")
}

var (
	setHead = []byte("*5\r\n$3\r\nSET\r\n")
	pxHead  = []byte("$2\r\nPX\r\n")
	unlink  = []byte("UNLINK")
	rpush   = []byte("RPUSH")
)

// executed reads the answers to a transaction; false: the book had changed, and
// nothing was done.
func (s *txBatch) executed() (bool, error) {
	var refused error
	journals := min(1, len(s.b.Journal))
	for range 1 + journals + len(s.send) { // to MULTI, and QUEUED for each
		line, err := s.w.Line()
		if err != nil {
			return false, err
		}
		if line[0] == '-' && refused == nil {
			refused = resp.Error(line[1:])
		}
	}
	line, err := s.w.Line()
	switch {
	case err != nil:
		return false, err
	case refused != nil:
		return false, refused
	case line[0] == '-':
		return false, resp.Error(line[1:])
	case string(line) == "*-1" || string(line) == "_":
		return false, nil
	}
	for range journals {
		if _, err := s.w.Line(); err != nil {
			return false, err
		}
	}
	for _, i := range s.send {
		line, err := s.w.Line()
		if err != nil {
			return false, err
		}
		s.count(s.b.Entry(i), line, &refused)
	}
	return true, refused
}

func (s *txBatch) count(e store.Entry, line []byte, refused *error) {
	switch {
	case line[0] == '-':
		*refused = resp.Error(line[1:])
	case e.Op != store.Remove:
		s.out.Written++
		s.out.Bytes += int64(e.Size())
	case string(line) == ":1":
		s.out.Removed++
	}
}

// exists appends the question how many of the kept keys are there.
func (s *txBatch) exists() {
	s.w.Array(1 + len(s.keep))
	s.w.Bulk([]byte("EXISTS"))
	for _, i := range s.keep {
		s.w.Bulk(s.b.Entry(i).Key)
	}
}

// counted reads the answer to exists: whether all of them are.
func (s *txBatch) counted() (bool, error) {
	if len(s.keep) == 0 {
		return true, nil
	}
	reply, err := s.w.Reply()
	n, _ := reply.(int64)
	if err == nil {
		s.cl.lookups.Add(float64(n), float64(len(s.keep))-float64(n))
	}
	return n == int64(len(s.keep)), err
}
