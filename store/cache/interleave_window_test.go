package cache

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/storetest"
)

// opened is where windows are tried: a real book, a run's wire, and the client of
// somebody else.
type opened struct {
	t     *testing.T
	b     *bench
	tap   Tap
	cache *Cache
	conns chan *bookConn
	other *redis.Client
	book  string
}

const windowKey = "key"

func openWindows(t *testing.T, b *bench) *opened {
	t.Helper()
	url := storetest.Redis(t)
	o := &opened{t: t, b: b, conns: make(chan *bookConn, 1)}
	o.cache = New(o.tap.Client(t, url), time.Minute)
	o.other = new(Tap).Client(t, url)
	o.book = o.cache.names.Book(0)
	t.Cleanup((&Claim{conns: o.conns}).Close)
	return o
}

// try puts by wire while somebody else comes in between. quiet: the run knows how
// many fields of the book are no key's.
func (o *opened) try(w window, quiet bool) result {
	o.t.Helper()
	ctx := o.t.Context()
	now := o.other.Time(ctx).Val().UnixMilli()
	p := o.other.Pipeline()
	p.FlushDB(ctx)
	w.shelf.load(ctx, p, now, o.book, windowKey)
	if _, err := p.Exec(ctx); err != nil {
		o.t.Fatal(err)
	}
	o.tap.BeforeExec = func() { o.act(w, now) }
	before := o.tap.Aborts.Load()
	var b store.Batch
	b.Buf = fmt.Append(b.Buf, windowKey, w.run.stamp)
	b.Add(0, len(windowKey), time.Duration(wholeTTL)*time.Millisecond)
	out, err := o.cache.Put(ctx, o.claim(now, w, quiet), &b)
	o.forget()
	return result{o.dump(now), spoken(out, err), o.tap.Aborts.Load() > before}
}

// act lets the other come in between.
func (o *opened) act(w window, now int64) {
	if w.other == nobody {
		o.t.Errorf("%+v: it is tried by wire", w)
		return
	}
	p := o.other.Pipeline()
	reply := o.b.do(o.t.Context(), p, now, w.other, o.book, windowKey)
	p.Exec(o.t.Context()) // its answer is looked at
	if err := reply.Err(); err != nil {
		o.t.Errorf("%+v: %v", w, err)
	}
}

// claim is a run as it was when it looked.
func (o *opened) claim(now int64, w window, quiet bool) *Claim {
	a := &Armed{nonces: []string{lostNonce}, deadline: now - int64(w.run.age)*tickLong + halfLife}
	if w.run.mine {
		a.nonces[0] = ourNonce
	}
	cl := &Claim{Stamp: store.Stamp{Epoch: 1, Clock: uint64(w.run.stamp)}, armed: a, mode: "run", typ: "string",
		job: modelJob, field: runField, meta: -1, conns: o.conns}
	if quiet {
		cl.meta = w.shelf.meta()
	}
	return cl
}

// meta is how many fields are no key's.
func (s shelf) meta() (n int64) {
	for _, is := range []bool{s.book, s.life, s.run != none, s.pruned != none} {
		if is {
			n++
		}
	}
	return n
}

// forget has the next claim look for itself.
func (o *opened) forget() {
	select {
	case w := <-o.conns:
		w.book.valid = false
		o.conns <- w
	default:
	}
}

// dump is what there is now.
func (o *opened) dump(now int64) shelf {
	o.t.Helper()
	ctx := o.t.Context()
	p := o.other.Pipeline()
	d := done{hash: p.HGetAll(ctx, o.book), value: p.Get(ctx, windowKey), left: p.PTTL(ctx, windowKey)}
	p.Exec(ctx) // each answer is looked at for itself
	s, err := dump(&d, now, windowKey)
	if err != nil {
		o.t.Error(err)
	}
	return s
}

// spoken is the word for what Put returned.
func spoken(out Outcome, err error) string {
	switch {
	case errors.Is(err, ErrLost):
		return "LOST"
	case errors.Is(err, ErrLate):
		return "LATE"
	case errors.Is(err, ErrSuperseded):
		return "SUPERSEDED"
	case err == nil && out.Written == 1:
		return "OK"
	case err == nil && out.Old == 1:
		return "OLD"
	}
	return fmt.Sprintf("%+v, %v", out, err)
}
