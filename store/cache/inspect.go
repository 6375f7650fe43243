package cache

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stokerhq/stoker/jobs"
)

// Seen is what Redis has of a key at one moment.
type Seen struct {
	Text  []byte             // of a string; nil: it is none
	Hash  map[string]string  // of a hash; nil: it is none
	ZSet  map[string]float64 // of a sorted set, the scores by member; nil: it is none
	Other bool               // a value of another Redis type than was looked for
	TTL   time.Duration      // left; negative: there is no value, or it has no TTL
	Mark  string             // in the book: stamp and time of the newest fence or refresh; "": none
}

// There reports whether the key has a value.
func (s Seen) There() bool { return s.Text != nil || s.Hash != nil || s.ZSet != nil || s.Other }

// Size is how many bytes were read.
func (s Seen) Size() int {
	n := len(s.Text)
	for name, text := range s.Hash {
		n += len(name) + len(text)
	}
	for member := range s.ZSet {
		n += len(member) + 8
	}
	return n
}

// Values reads the values of keys, which are of one type, and hands fn each with
// its position. Neither TTL nor Mark is looked at.
func (c *Cache) Values(ctx context.Context, typ jobs.Type, keys []string, fn func(i int, s Seen)) error {
	return c.readKeys(ctx, typ, keys, false, fn)
}

// Observe reads all that Redis has of keys, and hands fn each with its position. What
// it hands out may have changed while it was read: who has to know looks twice.
func (c *Cache) Observe(ctx context.Context, typ jobs.Type, keys []string, fn func(i int, s Seen)) error {
	return c.readKeys(ctx, typ, keys, true, fn)
}

// How much one round trip reads: keys at first and at most, and bytes, as far as
// the round trip before can tell.
const (
	seeFirst = 25
	seeKeys  = 200
	seeBytes = 1 << 20
)

// readKeys goes in steps, so that memory does not grow with the size of values.
func (c *Cache) readKeys(ctx context.Context, typ jobs.Type, keys []string, all bool, fn func(int, Seen)) error {
	for at, step := 0, seeFirst; at < len(keys); {
		part := keys[at:min(at+step, len(keys))]
		look := keyRead{c: c, typ: typ, keys: part, all: all}
		size, err := look.read(ctx, func(i int, s Seen) { fn(at+i, s) })
		if err != nil {
			return fmt.Errorf("look at %d keys, the first is %s: %w", len(part), part[0], err)
		}
		at += len(part)
		step = min(2*step, seeKeys, max(1, seeBytes*len(part)/max(size, 1)))
	}
	return nil
}

// keyRead is one round trip.
type keyRead struct {
	c    *Cache
	typ  jobs.Type
	keys []string
	all  bool

	texts  []*redis.StringCmd
	hashes []*redis.MapStringStringCmd
	zsets  []*redis.ZSliceCmd
	ttls   []*redis.DurationCmd
	marks  map[int]*redis.SliceCmd // :: book -> the fields of its keys, in the order of places
	places map[int][]int           // :: book -> positions of its keys
}

func (s *keyRead) read(ctx context.Context, fn func(int, Seen)) (size int, err error) {
	pipe := s.c.c.Pipeline()
	s.queue(ctx, pipe)
	if _, err := pipe.Exec(ctx); err != nil && !answered(err) {
		return 0, err // what Redis answers is looked at for each key
	}
	out := make([]Seen, len(s.keys))
	for i := range out {
		if out[i], err = s.value(i); err != nil {
			return 0, err
		}
		size += out[i].Size()
	}
	if err := s.mark(out); err != nil {
		return 0, err
	}
	for i := range out {
		fn(i, out[i])
	}
	return size, nil
}

func (s *keyRead) queue(ctx context.Context, pipe redis.Pipeliner) {
	s.marks, s.places = make(map[int]*redis.SliceCmd), make(map[int][]int)
	for i, k := range s.keys {
		switch s.typ {
		case jobs.TypeHash:
			s.hashes = append(s.hashes, pipe.HGetAll(ctx, k))
		case jobs.TypeZSet:
			s.zsets = append(s.zsets, pipe.ZRangeWithScores(ctx, k, 0, -1))
		default:
			s.texts = append(s.texts, pipe.Get(ctx, k))
		}
		if s.all {
			s.ttls = append(s.ttls, pipe.PTTL(ctx, k))
			book := s.c.names.BookOf([]byte(k))
			s.places[book] = append(s.places[book], i)
		}
	}
	for book, places := range s.places {
		fields := make([]string, len(places))
		for j, i := range places {
			fields[j] = s.keys[i]
		}
		s.marks[book] = pipe.HMGet(ctx, s.c.names.Book(book), fields...)
	}
}

// value understands what Redis answered of key i.
func (s *keyRead) value(i int) (Seen, error) {
	out := Seen{TTL: -1}
	var err error
	switch s.typ {
	case jobs.TypeHash:
		if out.Hash, err = s.hashes[i].Result(); len(out.Hash) == 0 {
			out.Hash = nil
		}
	case jobs.TypeZSet:
		out.ZSet, err = scores(s.zsets[i])
	default:
		var text string
		text, err = s.texts[i].Result()
		out.Text = []byte(text) // never nil: an empty value is one
	}
	switch {
	case errors.Is(err, redis.Nil):
		out.Text = nil
	case redis.HasErrorPrefix(err, "WRONGTYPE"):
		out.Text, out.Hash, out.ZSet, out.Other = nil, nil, nil, true
	case err != nil:
		return out, err
	}
	if s.all {
		if out.TTL, err = s.ttls[i].Result(); err != nil {
			return out, err
		}
	}
	return out, nil
}

func scores(cmd *redis.ZSliceCmd) (map[string]float64, error) {
	list, err := cmd.Result()
	if len(list) == 0 {
		return nil, err
	}
	out := make(map[string]float64, len(list))
	for _, z := range list {
		out[fmt.Sprint(z.Member)] = z.Score
	}
	return out, err
}

// mark fills in what the books have of the keys.
func (s *keyRead) mark(out []Seen) error {
	for book, cmd := range s.marks {
		fields, err := cmd.Result()
		if err != nil {
			return err
		}
		for j, i := range s.places[book] {
			out[i].Mark, _ = fields[j].(string)
		}
	}
	return nil
}
