package lookups_test

import (
	"context"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stokerhq/stoker/store/cache/info"
	"github.com/stokerhq/stoker/store/lookups"
	"github.com/stokerhq/stoker/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

// bench is a Redis of its own, a client whose lookups are counted, and one whose are not.
type bench struct {
	*testing.T
	counter *lookups.Counter
	client  *redis.Client
	info    *info.Reader
	before  info.Node
}

func newBench(t *testing.T, scripts bool) *bench {
	t.Helper()
	server := storetest.OwnRedis(t)
	options, err := redis.ParseURL(server.URL(0))
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{T: t, counter: new(lookups.Counter), client: redis.NewClient(options)}
	other := redis.NewClient(options)
	t.Cleanup(func() { b.client.Close(); other.Close() })
	for _, set := range [][]any{{"set", "string", "v"}, {"hset", "hash", "f", "v"}, {"rpush", "list", "v"},
		{"sadd", "set", "m"}, {"zadd", "zset", 1, "m"}} {
		if err := other.Do(t.Context(), set...).Err(); err != nil {
			t.Fatal(err)
		}
	}
	b.info = info.NewReader(other)
	if scripts {
		b.client.AddHook(lookups.HookAll(b.counter, b.client))
	} else {
		b.client.AddHook(lookups.Hook(b.counter))
	}
	b.server()
	return b
}

// server is what Redis has counted since the last call.
func (b *bench) server() (hits, misses int64) {
	b.Helper()
	nodes, err := b.info.Read(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	hits, misses = nodes[0].Hits-b.before.Hits, nodes[0].Misses-b.before.Misses
	b.before = nodes[0]
	return hits, misses
}

// Every command that looks keys up is counted by its answer as Redis counts it, of a key that is there and of one that
// is not, alone and in a pipeline; what writes is not counted.
//
// Broken by: a command that is left out; a field that a hash does not have taken for a key that is not there; an answer
// of zero, or an empty one, taken for a key that is there; EXISTS and MGET counted once.
func TestAnswers(t *testing.T) {
	b := newBench(t, false)
	ctx := t.Context()
	commands := func(c redis.Cmdable, key string) {
		is := func(kind string) string {
			if key == "" {
				return kind
			}
			return key
		}
		for _, k := range []string{is("string"), is("hash")} {
			c.Exists(ctx, k, "none", k)
			c.TTL(ctx, k)
			c.PTTL(ctx, k)
			c.Type(ctx, k)
			c.Dump(ctx, k)
		}
		c.Get(ctx, is("string"))
		c.StrLen(ctx, is("string"))
		c.MGet(ctx, is("string"), "none", "string")
		c.HGetAll(ctx, is("hash"))
		c.HLen(ctx, is("hash"))
		c.HKeys(ctx, is("hash"))
		c.HScan(ctx, is("hash"), 0, "", 10)
		c.LLen(ctx, is("list"))
		c.SCard(ctx, is("set"))
		c.SMembers(ctx, is("set"))
		c.SScan(ctx, is("set"), 0, "", 10)
		c.ZCard(ctx, is("zset"))
		c.ZRange(ctx, is("zset"), 0, -1)
		c.ZRangeWithScores(ctx, is("zset"), 0, -1)
		c.ZScan(ctx, is("zset"), 0, "", 10)
	}
	for _, key := range []string{"", "none"} {
		commands(b.client, key)
		b.compare("alone, key "+key, 0)
		_, err := b.client.Pipelined(ctx, func(p redis.Pipeliner) error { commands(p, key); return nil })
		if err != nil && err != redis.Nil {
			t.Fatal(err)
		}
		b.compare("in a pipeline, key "+key, 0)
	}
	for _, part := range []string{"f", "none"} { // of keys that are there
		b.client.HGet(ctx, "hash", part)
		b.client.HMGet(ctx, "hash", part, "none")
		b.client.HExists(ctx, "hash", part)
		b.client.LRange(ctx, "list", 5, 9)
		b.client.LIndex(ctx, "list", 7)
		b.client.SIsMember(ctx, "set", part)
		b.client.ZCount(ctx, "zset", "7", "9")
		b.client.ZScore(ctx, "zset", part)
		b.compare("parts: "+part, 0)
	}
	b.client.Set(ctx, "w", 1, time.Minute)
	b.client.HSet(ctx, "wh", "f", 1)
	b.client.Expire(ctx, "w", time.Hour)
	b.client.Unlink(ctx, "w", "nothing")
	b.client.Scan(ctx, 0, "*", 100)
	b.client.MemoryUsage(ctx, "hash")
	b.compare("writes", 0)
	if h, m := b.server(); h != 0 || m != 0 {
		t.Errorf("writes are %d hits and %d misses of Redis'", h, m)
	}
}

// compare holds what is told to what Redis counts, within a share of it.
func (b *bench) compare(what string, within float64) {
	b.Helper()
	told, toldMisses, _ := b.counter.Take()
	hits, misses := b.server()
	if off(told, hits) > within || off(toldMisses, misses) > within {
		b.Errorf("%s: %d hits and %d misses are told, Redis counts %d and %d", what, told, toldMisses, hits, misses)
	}
	if what != "writes" && hits+misses == 0 {
		b.Errorf("%s: nothing was looked up", what)
	}
}

func off(a, b int64) float64 { return math.Abs(float64(a-b)) / max(1, float64(b)) }

// What a script looks up that says nothing of it is measured, some times a second, and estimated else.
//
// Broken by: a script that is measured each time; an estimate of another script; an answer that is lost on the way; a
// script that Redis does not have yet counted as one that looks nothing up.
func TestScripts(t *testing.T) {
	b := newBench(t, true)
	ctx := t.Context()
	ask := redis.NewScript(`redis.call('GET', KEYS[1])
		return {redis.call('HGET', 'hash', 'f'), redis.call('EXISTS', 'none')}`)
	quiet := redis.NewScript(`return redis.call('SET', KEYS[1], 'v') and false`)
	const calls = 2000
	for range calls {
		got, err := ask.Run(ctx, b.client, []string{"string"}).Slice()
		if err != nil || len(got) != 2 || got[0] != "v" || got[1] != int64(0) {
			t.Fatalf("%v %v", got, err)
		}
		if err := quiet.Run(ctx, b.client, []string{"w"}).Err(); err != redis.Nil {
			t.Fatalf("%v", err)
		}
	}
	told, missed, blind := b.counter.Take()
	hits, misses := b.server()
	if hits != 2*calls || misses != calls {
		t.Fatalf("Redis counts %d and %d", hits, misses)
	}
	if off(told, hits) > 0.02 || off(missed, misses) > 0.02 || blind {
		t.Errorf("%d hits and %d misses are told, want %d and %d", told, missed, hits, misses)
	}
	stats := b.client.Info(ctx, "commandstats").Val()
	var measured int
	for line := range strings.Lines(stats) {
		if rest, is := strings.CutPrefix(line, "cmdstat_exec:calls="); is {
			_, _ = fmt.Sscanf(rest, "%d", &measured)
		}
	}
	if measured < 20 || measured > 400 {
		t.Errorf("%d of %d calls were measured", measured, 2*calls)
	}
}

// A user who may not see what Redis counts has his scripts done all the same, and it is told that they are not counted.
// Broken by: a call that is lost, or done twice.
func TestBlind(t *testing.T) {
	b := newBench(t, true)
	err := b.client.Do(t.Context(), "acl", "setuser", "limited", "on", ">pw", "~*", "+@all", "-info").Err()
	if err != nil {
		t.Fatal(err)
	}
	b.counter.Take()
	options := *b.client.Options()
	options.Username, options.Password = "limited", "pw"
	limited := redis.NewClient(&options)
	defer limited.Close()
	limited.AddHook(lookups.HookAll(b.counter, limited))
	script := redis.NewScript(`return redis.call('INCR', KEYS[1])`)
	for i := range int64(30) {
		if n, err := script.Run(context.Background(), limited, []string{"n"}).Int64(); n != i+1 || err != nil {
			t.Fatalf("call %d: %d, %v", i, n, err)
		}
	}
	if _, _, blind := b.counter.Take(); !blind {
		t.Error("nobody says that scripts are not counted")
	}
}
