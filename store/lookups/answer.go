package lookups

import (
	"errors"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// reads are the commands that look keys up to read them. All but those of several keys look one up.
var reads = map[string]bool{
	"get": true, "getrange": true, "strlen": true, "exists": true, "mget": true, "type": true, "dump": true,
	"ttl": true, "pttl": true, "expiretime": true, "pexpiretime": true, "object": true,
	"hget": true, "hmget": true, "hgetall": true, "hlen": true, "hkeys": true, "hvals": true, "hexists": true,
	"hscan": true, "hstrlen": true,
	"llen": true, "lrange": true, "lindex": true,
	"scard": true, "smembers": true, "sismember": true, "smismember": true, "sscan": true,
	"zcard": true, "zcount": true, "zrange": true, "zrangebyscore": true, "zrevrange": true,
	"zrevrangebyscore": true, "zscore": true, "zmscore": true, "zscan": true,
}

// parts are the reads whose empty answer can be that of a key that is there. It is taken for one: what
// Stoker asks so it asks of its books and tallies, which are there but for a moment.
var parts = map[string]bool{"hget": true, "hmget": true, "hexists": true, "hstrlen": true, "lindex": true,
	"lrange": true, "getrange": true, "sismember": true, "smismember": true, "zcount": true, "zrangebyscore": true,
	"zrevrangebyscore": true, "zscore": true, "zmscore": true}

// ofAnswer returns what a command has looked up, by its answer. err is the command's, which the client sets later than
// this.
func ofAnswer(cmd redis.Cmder, err error) (hits, misses float64) {
	name := strings.ToLower(cmd.Name())
	if !reads[name] || err != nil && !errors.Is(err, redis.Nil) {
		return 0, 0
	}
	switch name {
	case "exists":
		n, keys := number(cmd), float64(len(cmd.Args())-1)
		return n, keys - n
	case "mget":
		if s, is := cmd.(*redis.SliceCmd); is {
			for _, v := range s.Val() {
				if v != nil {
					hits++
				}
			}
		}
		return hits, float64(len(cmd.Args())-1) - hits
	}
	if !parts[name] && (err != nil || absent(cmd)) {
		return 0, 1
	}
	return 1, 0
}

// number is the answer of a command that counts.
func number(cmd redis.Cmder) float64 {
	switch c := cmd.(type) {
	case *redis.IntCmd:
		return float64(c.Val())
	case *redis.Cmd:
		n, err := c.Int64()
		if err == nil {
			return float64(n)
		}
	}
	return 0
}

// noKey is how TTL and PTTL answer for a key that is not there; go-redis makes nanoseconds of it.
const noKey = -2 * time.Nanosecond

// absent reports whether an answer without an error is that of a key that is not there.
func absent(cmd redis.Cmder) bool {
	switch c := cmd.(type) {
	case *redis.IntCmd:
		return c.Val() == 0
	case *redis.BoolCmd:
		return !c.Val()
	case *redis.DurationCmd:
		return c.Val() == noKey
	case *redis.StatusCmd:
		return c.Val() == "none" // TYPE
	case *redis.StringSliceCmd:
		return len(c.Val()) == 0
	case *redis.ZSliceCmd:
		return len(c.Val()) == 0
	case *redis.MapStringStringCmd:
		return len(c.Val()) == 0
	case *redis.SliceCmd:
		for _, v := range c.Val() {
			if v != nil {
				return false
			}
		}
		return true
	case *redis.ScanCmd:
		page, cursor := c.Val()
		return len(page) == 0 && cursor == 0 && first(c.Args())
	}
	return false
}

// first reports whether a scan of a key has begun with this command.
func first(args []any) bool {
	if len(args) < 3 {
		return false
	}
	switch cursor := args[2].(type) {
	case uint64:
		return cursor == 0
	case string:
		return cursor == "0"
	}
	return false
}
