package cache

import (
	"context"
	"errors"

	"github.com/redis/go-redis/v9"

	"github.com/stokerhq/stoker/store"
)

// stream writes a batch on a wire: it looks at the book while watching it, and
// what follows is executed only if the book is still as it was then. So the
// rules of put.lua hold, with the same answers, at the moment of EXEC. What
// cannot be decided so is left to the script.
//
// The look for the next batch rides behind the EXEC of this one: as long as the
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

// streamed is stream without what is left to the script: it returns these
// entries' positions.
func (c *Cache) streamed(ctx context.Context, cl *Claim, b *store.Batch) (Outcome, []int, error) {
	s := streaming{cl: cl, b: b, book: c.books.key(0)}
	rest, err := s.on(ctx, c.wire)
	if err != nil && !answered(err) && ctx.Err() == nil {
		s = streaming{cl: cl, b: b, book: s.book}
		rest, err = s.on(ctx, c.dial) // Redis may have closed all that were idle; to write twice is harmless
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

// on does the work on a wire that it is given.
func (s *streaming) on(ctx context.Context, wire func(context.Context, *Claim) (*wire, error)) (rest []int, err error) {
	if s.w, err = wire(ctx, s.cl); err != nil {
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
	trust bool  // no field was pruned that was written since the last run: keys without one are as it left them
}

// do returns the positions of the entries that the script must see to.
func (s *streaming) do(ctx context.Context) (rest []int, err error) {
	if !s.w.look.valid {
		s.ask()
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
	s.trust = s.w.look.pruned < s.cl.since
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

// write sends the batch and the look for the next one.
func (s *streaming) write(ctx context.Context) (rest []int, err error) {
	if len(s.send) > 0 {
		s.transaction()
	}
	if len(s.keep) > 0 {
		s.exists()
	}
	s.ask()
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
