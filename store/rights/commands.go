package rights

import (
	"slices"
	"strings"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store/cache/layout"
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
func Cache(spec *jobs.Spec) Needs {
	var n Needs
	n.keyless("ping", "select 0", "info server", "time", "scan 0", "script load return", "unwatch")
	names := layout.Names{Namespace: spec.Namespace}
	book, epoch, probe := names.Book(0), names.Epoch(), names.Probe(0)
	n.own(ownPattern, book, "hmget % f", "hget % f", "hset % f v", "hdel % f", "hlen %", "hkeys %", "hscan % 0",
		"unlink %", "evalsha 0000000000000000000000000000000000000000 1 %")
	n.own(ownPattern, epoch, "hmget % f", "hset % f v")
	n.own(ownPattern, probe, "set % 1 xx")
	for _, job := range spec.Jobs {
		head, untracked := names.Manifest(job.Name, "head"), names.Untracked(0, job.Name)
		n.own(ownPattern, head, "get %", "set % v px 1", "pexpire % 1", "unlink %")
		n.own(ownPattern, untracked, "sadd % m", "srem % m", "sscan % 0", "rpush % m", "lrange % 0 1", "unlink %")
		n.own(pattern(job), sampleKey(job), "get %", "set % v px 1", "unlink %", "exists %", "pttl %", "pexpire % 1",
			"hset % f v", "hgetall %", "evalsha 0000000000000000000000000000000000000000 1 %")
	}
	return n
}

// ownPattern are the keys of all namespaces: where the daemons of all of them are registered is no namespace's.
const ownPattern = jobs.Own + "*"

// cancelChannel is how Asynq has a worker end a task.
const cancelChannel = "asynq:cancel"

// Queue is what the Redis with the tasks and the run records has to take.
func Queue(spec *jobs.Spec) Needs {
	var n Needs
	name := spec.Namespace
	probe := layout.Names{Namespace: name}.Probe(0)
	n.keyless("ping", "select 0", "info", "time", "script load return", "publish "+cancelChannel+" id")
	n.own(ownPattern, probe, "set % 1 xx", "evalsha 0000000000000000000000000000000000000000 1 %", "eval return 1 %")
	for _, job := range spec.Jobs {
		n.own(ownPattern, name.Key("runs:"+job.Name), "lpush % v", "ltrim % 0 1", "lrange % 0 1")
		n.own(ownPattern, name.Key("tally:"+job.Name), "hgetall %", "hincrby % f 1", "hset % f v", "hdel % f",
			"hsetnx % f v")
		n.own(ownPattern, name.Key("lease:"+job.Name), "set % v nx", "get %", "pttl %", "del %")
		n.own(ownPattern, name.Key("objective:"+job.Name), "hmget % f", "hget % f", "hset % f v", "hdel % f",
			"pexpire % 1", "del %")
	}
	for _, queue := range jobs.Queues {
		at := "asynq:{" + name.Queue(queue) + "}:"
		n.own("asynq:*", at+"t:id", "exists %", "hget % f", "hmget % f", "hset % f v", "hgetall %", "del %",
			"expire % 1",
			"memory usage %")
		n.own("asynq:*", at+"pending", "lpush % v", "rpush % v", "llen %", "lrange % 0 1", "lrem % 0 v",
			"rpoplpush % %",
			"evalsha 0000000000000000000000000000000000000000 1 %", "eval return 1 %")
		n.own("asynq:*", at+"retry", "zadd % 1 m", "zcard %", "zrange % 0 1", "zrangebyscore % 0 1", "zrem % m",
			"zremrangebyrank % 0 1", "zremrangebyscore % 0 1", "zrevrange % 0 1", "zscore % m")
		n.own("asynq:*", at+"paused", "get %", "del %")
		n.own(ownPattern, name.Key("handback:"+queue+":id"), "incr %", "pexpire % 1", "pttl %")
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
