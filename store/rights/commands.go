package rights

import (
	"slices"
	"strings"

	"github.com/stokerhq/stoker/jobs"
)

// command is a command that Stoker sends, on a key that it would send it on.
type command struct {
	args []string
	keys string // the pattern of its key, as an ACL writes it; "" if it has none
}

// Needs are the commands that one Redis has to take.
type Needs struct {
	commands []command
	channels []string // that are subscribed to
}

// Cache is what the Redis with the cached values has to take.
func Cache(list []*jobs.Job) Needs {
	var n Needs
	n.keyless("ping", "select 0", "info server", "time", "scan 0", "script load return", "unwatch")
	const book, epoch = "stoker:{cache}:book", "stoker:epoch:postgres"
	n.own("stoker:*", book, "hmget % f", "hget % f", "hset % f v", "hdel % f", "hlen %", "hkeys %", "hscan % 0",
		"unlink %", "evalsha 0000000000000000000000000000000000000000 1 %")
	n.own("stoker:*", epoch, "hmget % f", "hset % f v")
	n.own("stoker:*", probeKey, "set % 1 xx")
	for _, job := range list {
		head, untracked := "stoker:manifest:"+job.Name+":head", "stoker:{cache}:new:"+job.Name
		n.own("stoker:*", head, "get %", "set % v px 1", "pexpire % 1", "unlink %")
		n.own("stoker:*", untracked, "sadd % m", "srem % m", "sscan % 0", "rpush % m", "lrange % 0 1", "unlink %")
		n.own(pattern(job), sampleKey(job), "get %", "set % v px 1", "unlink %", "exists %", "pttl %", "pexpire % 1",
			"hset % f v", "hgetall %", "evalsha 0000000000000000000000000000000000000000 1 %")
	}
	return n
}

const probeKey = "stoker:probe"

// cancelChannel is how Asynq has a worker end a task.
const cancelChannel = "asynq:cancel"

// Queue is what the Redis with the tasks and the run records has to take.
func Queue(list []*jobs.Job) Needs {
	var n Needs
	n.keyless("ping", "select 0", "info", "time", "script load return", "publish "+cancelChannel+" id")
	n.own("stoker:*", probeKey, "set % 1 xx", "evalsha 0000000000000000000000000000000000000000 1 %", "eval return 1 %")
	for _, job := range list {
		n.own("stoker:*", "stoker:runs:"+job.Name, "lpush % v", "ltrim % 0 1", "lrange % 0 1")
		n.own("stoker:*", "stoker:tally:"+job.Name, "hgetall %", "hincrby % f 1", "hset % f v", "hdel % f",
			"hsetnx % f v")
		n.own("stoker:*", "stoker:lease:"+job.Name, "set % v nx", "get %", "pttl %", "del %")
	}
	for _, queue := range []string{jobs.QueueRun, jobs.QueueRefresh} {
		at := "asynq:{" + queue + "}:"
		n.own("asynq:*", at+"t:id", "exists %", "hget % f", "hmget % f", "hset % f v", "hgetall %", "del %",
			"expire % 1",
			"memory usage %")
		n.own("asynq:*", at+"pending", "lpush % v", "rpush % v", "llen %", "lrange % 0 1", "lrem % 0 v",
			"rpoplpush % %",
			"evalsha 0000000000000000000000000000000000000000 1 %", "eval return 1 %")
		n.own("asynq:*", at+"retry", "zadd % 1 m", "zcard %", "zrange % 0 1", "zrangebyscore % 0 1", "zrem % m",
			"zremrangebyrank % 0 1", "zremrangebyscore % 0 1", "zrevrange % 0 1", "zscore % m")
		n.own("asynq:*", at+"paused", "get %", "del %")
		n.own("stoker:*", "stoker:handback:"+queue+":id", "incr %", "pexpire % 1", "pttl %")
		n.own("asynq:*", at+"processed", "get %", "set % 1", "incr %", "expireat % 1", "setex % 1 v")
	}
	n.own("asynq:*", "asynq:queues", "sadd % m", "srem % m", "smembers %", "sismember % m")
	n.own("asynq:*", "asynq:servers:{host}", "hvals %", "hdel % f")
	n.channels = []string{cancelChannel}
	return n
}

// And are the needs of a Redis that serves as both.
func (n Needs) And(more Needs) Needs {
	return Needs{commands: slices.Concat(n.commands, more.commands), channels: slices.Concat(n.channels, more.channels)}
}

func (n *Needs) keyless(lines ...string) {
	for _, line := range lines {
		n.commands = append(n.commands, command{args: strings.Fields(line)})
	}
}

// own adds commands on one key.
func (n *Needs) own(pattern, key string, lines ...string) {
	for _, line := range lines {
		args := strings.Fields(line)
		for i, a := range args {
			if a == "%" {
				args[i] = key
			}
		}
		n.commands = append(n.commands, command{args: args, keys: pattern})
	}
}

// pattern is what an ACL calls the keys of a job.
func pattern(job *jobs.Job) string {
	key := string(job.Key.Append(nil, func(dst []byte, _ int) []byte { return append(dst, 0) }))
	prefix, _, more := strings.Cut(key, "\x00")
	prefix = globs.Replace(prefix)
	if more {
		prefix += "*"
	}
	return prefix
}

// globs escapes what has a meaning in a pattern.
var globs = strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`)

// sampleKey is a key that a job could have.
func sampleKey(job *jobs.Job) string {
	return string(job.Key.Append(nil, func(dst []byte, _ int) []byte { return append(dst, '0') }))
}

// name is what an ACL calls the command.
func (c command) name() string {
	switch c.args[0] {
	case "script", "memory":
		return c.args[0] + "|" + c.args[1]
	}
	return c.args[0]
}
