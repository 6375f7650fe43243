package cache

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/redis/go-redis/v9"

	"github.com/stokerhq/stoker/store"
)

// load brings a book and a key into a state.
func (s shelf) load(ctx context.Context, p redis.Pipeliner, base int64, book, key string) {
	var fields []any
	if s.book {
		fields = append(fields, "#n", ourNonce)
	}
	if s.life {
		fields = append(fields, "#t", 2*halfLife)
	}
	if s.run != none {
		fields = append(fields, runField, modelStamp(s.run))
	}
	if s.writer != none {
		fields = append(fields, idField, s.writer)
	}
	if s.pruned != none {
		fields = append(fields, "#p", at(base, s.pruned))
	}
	if s.field != none {
		fields = append(fields, key, modelStamp(s.field)+at(base, s.age))
	}
	if len(fields) > 0 {
		p.HSet(ctx, book, fields...)
	}
	if s.value != none {
		ttl := wholeTTL
		if s.grace {
			ttl = graceTTL
		}
		p.Do(ctx, "SET", key, s.value, "PX", ttl)
	}
}

// dump reads what an act has left.
func dump(d *done, base int64, key string) (shelf, error) {
	s := bare
	errs := []error{d.hash.Err()}
	for field, text := range d.hash.Val() {
		var err error
		switch field {
		case "#n":
			if s.book = true; text != ourNonce {
				err = fmt.Errorf("nonce %q", text)
			}
		case "#t":
			if s.life = true; text != strconv.FormatInt(2*halfLife, 10) {
				err = fmt.Errorf("life %q", text)
			}
		case runField:
			s.run, err = readStamp(text)
		case idField:
			var n int64
			n, err = strconv.ParseInt(text, 10, 8)
			s.writer = int8(n)
		case "#p":
			s.pruned, err = readAge(base, text)
		case key:
			if len(text) != len(modelStamp(0))+13 {
				err = fmt.Errorf("field %q", text)
				break
			}
			var aerr error
			s.field, err = readStamp(text[:26])
			s.age, aerr = readAge(base, text[26:])
			err = errors.Join(err, aerr)
		default:
			err = fmt.Errorf("the book has a field %q", field)
		}
		errs = append(errs, err)
	}
	if text, err := d.value.Result(); err == nil {
		n, err := strconv.ParseInt(text, 10, 8)
		s.value, s.grace = int8(n), d.left.Val().Milliseconds() <= graceTTL
		errs = append(errs, err)
		if left := d.left.Val().Milliseconds(); left <= 0 || left > wholeTTL {
			errs = append(errs, fmt.Errorf("TTL %d ms", left))
		}
	} else if !errors.Is(err, redis.Nil) {
		errs = append(errs, err)
	}
	return s, errors.Join(errs...)
}

// modelStamp is a stamp of the model's as it is written.
func modelStamp(s int8) string { return modelStamps[s] }

var modelStamps = func() (all [changes + 1]string) {
	for i := range all {
		all[i] = store.Stamp{Epoch: 1, Clock: uint64(i)}.String()
	}
	return all
}()

func readStamp(text string) (int8, error) {
	s, err := store.ParseStamp(text)
	return int8(s.Clock), err
}

// at is a time of the model's as it is written.
func at(base int64, age int8) string { return strconv.FormatInt(base-int64(age)*tickLong, 10) }

func readAge(base int64, text string) (int8, error) {
	ms, err := strconv.ParseInt(text, 10, 64)
	return int8((base - ms + halfLife/2) / tickLong), err
}
