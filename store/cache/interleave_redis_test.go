package cache

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stokerhq/stoker/store/storetest"
)

// The explorer's time goes in ticks of half a life: what was armed a tick ago is
// late, a field that was written two ticks ago may be pruned. A tick is so long,
// on Redis' clock, that what a test takes does not count.
const (
	halfLife  = int64(1_000_000_000) // ms
	tickLong  = halfLife + halfLife/1000
	wholeTTL  = halfLife / 10
	graceTTL  = wholeTTL / 100
	none      = int8(-1)
	runField  = "#r:" + modelJob
	idField   = "#w:" + modelJob
	modelJob  = "job"
	ourNonce  = "ours"
	lostNonce = "lost"
)

// shelf is what one Redis holds of a key and its book. Times are ages in ticks,
// the newest version of a value is the highest number, and so it is with stamps.
type shelf struct {
	book   bool // there is a nonce
	life   bool // and the longest life that was armed
	run    int8 // #r
	writer int8 // #w
	pruned int8 // #p, an age
	field  int8 // stamp of the key's field
	age    int8 // of that field
	value  int8 // version
	grace  bool // its time is short
}

var bare = shelf{run: none, writer: none, pruned: none, field: none, age: none, value: none}

// bench executes acts with the real scripts on a real Redis, each distinct one
// once: on a book and a key of its own, brought into the state it begins with.
type bench struct {
	t       testing.TB
	c       *redis.Client
	scripts map[string]script
	known   map[deed]effect
}

// edit takes the place of a text in a script, to see that the explorer notices.
type edit struct{ script, old, new string }

func newBench(t testing.TB, changes ...edit) *bench {
	t.Helper()
	o, err := redis.ParseURL(storetest.Redis(t))
	if err != nil {
		t.Fatal(err)
	}
	o.PoolSize = 1
	b := &bench{t: t, c: redis.NewClient(o), scripts: map[string]script{}, known: map[deed]effect{}}
	t.Cleanup(func() { b.c.Close() })
	cache := New(b.c, time.Minute)
	for _, s := range []script{armScript, claimScript, putScript, touchScript, fenceScript, pruneScript, keepScript} {
		for _, e := range changes {
			if s.name != e.script {
				continue
			}
			if strings.Count(s.text, e.old) != 1 {
				t.Fatalf("%s.lua does not have %q once: this variant of it means nothing any more", s.name, e.old)
			}
			s = newScript(s.name, strings.Replace(s.text, e.old, e.new, 1))
		}
		if b.scripts[s.name], err = cache.load(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

// atOnce is how many deeds go to Redis in one pipeline.
const atOnce = 400

// learn executes deeds that are not known yet.
func (b *bench) learn(deeds map[deed]bool) {
	b.t.Helper()
	for some := range slices.Chunk(slices.Collect(maps.Keys(deeds)), atOnce) {
		b.execute(some)
	}
}

func (b *bench) execute(deeds []deed) {
	b.t.Helper()
	ctx := b.t.Context()
	now, err := b.c.Time(ctx).Result()
	if err != nil {
		b.t.Fatal(err)
	}
	p := b.c.Pipeline()
	base := now.UnixMilli()
	dones := make([]done, len(deeds))
	for i, d := range deeds {
		book, key := fmt.Sprintf("book:%d", i), fmt.Sprintf("key:%d", i)
		d.from.load(ctx, p, base, book, key)
		p.Do(ctx, "WATCH", book)
		dones[i].reply = b.do(ctx, p, base, d.act, book, key)
		p.Do(ctx, "MULTI")
		dones[i].exec = p.Do(ctx, "EXEC") // Redis refuses it also for what the same connection did
		dones[i].hash, dones[i].value, dones[i].left = p.HGetAll(ctx, book), p.Get(ctx, key), p.PTTL(ctx, key)
	}
	p.FlushDB(ctx)
	p.Exec(ctx) // each answer is looked at for itself
	for i, d := range deeds {
		b.known[d] = b.effect(d, &dones[i], base, fmt.Sprintf("key:%d", i))
	}
}

// done is the answers to a deed.
type done struct {
	reply *redis.Cmd
	exec  *redis.Cmd
	hash  *redis.MapStringStringCmd
	value *redis.StringCmd
	left  *redis.DurationCmd
}

func (b *bench) effect(d deed, done *done, base int64, key string) effect {
	b.t.Helper()
	after, err := dump(done, base, key)
	if err == nil && done.reply.Err() != nil {
		err = done.reply.Err()
	}
	says := ""
	if err == nil {
		says, err = answer(d, done.reply.Val())
	}
	if err != nil {
		b.t.Fatalf("%+v: %v", d, err)
	}
	return effect{after, says, done.exec.Err() == redis.Nil, d.from.writer, d.from.pruned}
}
