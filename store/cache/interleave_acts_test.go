package cache

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/redis/go-redis/v9"
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

// do sends an act.
func (b *bench) do(ctx context.Context, p redis.Pipeliner, base int64, a act, book, key string) *redis.Cmd {
	call := func(script string, keys []string, args ...any) *redis.Cmd {
		return p.EvalSha(ctx, b.scripts[script].sha, keys, args...)
	}
	head := a.head(base)
	both := []string{book, key}
	switch a.what {
	case doArm:
		return call("arm", both[:1], ourNonce, 2*halfLife)
	case doClaim:
		return call("claim", both[:1], append(head, idField, a.id)...)
	case doPut:
		return call("put", both, append(head, "run", "string", wholeTTL, a.stamp)...)
	case doRefresh:
		return call("put", both, append(head, "refresh", "string", wholeTTL, a.stamp)...)
	case doTouch, doKeep:
		ttl := wholeTTL
		if a.what == doKeep {
			ttl = 0
		}
		return call("touch", both, append(head, at(base, a.since), ttl)...)
	case doFence:
		grace := int64(0)
		if a.grace {
			grace = graceTTL
		}
		return call("fence", both, head[0], modelStamp(a.stamp), grace)
	case doRemember:
		return call("keep", []string{book, key + ":head"}, head[0], idField, a.id, "a manifest", wholeTTL)
	case doPrune:
		return call("prune", both[:1], "0", 2*halfLife, pruneStep)
	case doLose:
		return p.Do(ctx, "UNLINK", book)
	case doFlush:
		return p.Do(ctx, "UNLINK", book, key)
	case doVanish:
		return p.Do(ctx, "UNLINK", key)
	}
	b.t.Fatalf("what is %d?", a.what)
	return nil
}

// head is how the arguments of every write begin.
func (a act) head(base int64) []any {
	nonce := lostNonce
	if a.mine {
		nonce = ourNonce
	}
	deadline := base - int64(a.age)*tickLong + halfLife
	return []any{nonce, modelStamp(a.stamp), deadline, runField}
}

// answer reads what a script says.
func answer(d deed, reply any) (string, error) {
	if word, ok := reply.(string); ok {
		if verdict(word) != nil || d.act.what == doRemember && word == "OK" {
			return word, nil
		}
		return "", fmt.Errorf("the script says %q", word)
	}
	list, _ := reply.([]any)
	switch d.act.what {
	case doPut, doRefresh:
		switch len(list) {
		case 1:
			return "OK", nil
		case 2:
			return "OLD", nil
		}
	case doTouch, doKeep:
		if len(list) == 1 {
			return "SEND", nil
		}
		return "KEPT", nil
	case doClaim:
		before := ""
		if d.from.writer != none {
			before = strconv.Itoa(int(d.from.writer))
		}
		if list[0] != before || (list[1] != "") != (d.from.pruned != none) {
			return "", fmt.Errorf("a run that came after %q, with #p %d, is told %v", before, d.from.pruned, list)
		}
		return "OK", nil
	default:
		return "OK", nil
	}
	return "", fmt.Errorf("the script says %v", reply)
}
