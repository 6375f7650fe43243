package cache

import (
	"github.com/redis/go-redis/v9"

	"github.com/stokerhq/stoker/store/lookups"
)

// CountLookups has all that the cache looks up counted. It is set before anything else is called.
func (c *Cache) CountLookups(in *lookups.Counter) {
	c.lookups = in
	c.c.AddHook(lookups.Hook(in))
}

// lookedUpHead: put.lua, touch.lua and fence.lua begin with their lookups, and those of keys that were not there.
const lookedUpHead = 2

// countScript counts what calls of a script have looked up, by their answers; a verdict stands after one look.
func (c *Cache) countScript(name string, calls []call, cmds []*redis.Cmd) {
	for i, cmd := range cmds {
		if cmd.Err() != nil {
			continue
		}
		c.lookups.Add(lookedUp(name, calls[i], cmd.Val()))
	}
}

func lookedUp(name string, of call, answer any) (hits, misses float64) {
	reply, _ := answer.([]any)
	switch {
	case name == "format" && answer == "":
		return 0, 1
	case len(reply) < 2: // a verdict, or a script that has looked at one record or book
		return 1, 0
	case name == "arm" && reply[0] == of.args[0]: // it has opened the book
		return 1, 1
	case name == "arm":
		return 2, 0
	case name == "claim":
		return 3, 0
	case name == "prune" && len(reply) > 2:
		return oneKey(reply[2] == int64(1), 2)
	case name == "put", name == "touch", name == "fence":
		looked, absent := reply[0].(int64), reply[1].(int64)
		return float64(looked - absent), float64(absent)
	}
	return 1, 0
}

// oneKey is the count of looks at one key that is there, or is not.
func oneKey(is bool, looks float64) (hits, misses float64) {
	if is {
		return looks, 0
	}
	return 0, looks
}
