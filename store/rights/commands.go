package rights

import (
	"net/url"
	"slices"
	"strings"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store/cache/layout"
)

// command is a command that Stoker sends, on a key that it would send it on.
type command struct {
	args     []string
	keys     string // the pattern of its key, as an ACL writes it; "" if it has none
	optional bool   // only Asynq's dashboard sends it
}

// Needs are the commands that one Redis has to take. Their table is the one that check asks by, that `stoker acl`
// prints and that docs/operations.md shows.
type Needs struct {
	commands []command
	channels []string // that are subscribed to
	watched  command  // WATCH, where it is sent; it cannot be part of a transaction
	patterns []string // of the keys, as an ACL writes them
	optional bool     // commands that are added now are the dashboard's alone
}

// Scope says for what a user is meant, besides what the spec says.
type Scope struct {
	Purge       bool // also for `stoker purge`
	NoDashboard bool // not for Asynq's dashboard, which the admin listener has under /queues/
}

const script = "evalsha 0000000000000000000000000000000000000000 1 %"

// Cache is what the Redis with the cached values has to take.
func Cache(spec *jobs.Spec, _ Scope) Needs {
	var n Needs
	kind := kindOf(spec.Redis.URL)
	n.connection(kind)
	n.keyless("info server", "time", "scan 0", "script load return")
	names := layout.Names{Namespace: spec.Namespace, Cluster: kind.cluster}
	own := spec.Namespace.Prefix() + "*"
	book, epoch, probe := names.Book(0), names.Epoch(), names.Probe(0)
	n.own(own, book, "hmget % f", "hget % f", "hset % f v", "hdel % f", "hlen %", "hkeys %", "hscan % 0", "unlink %",
		script)
	n.own(own, epoch, "hmget % f", "hget % f", "hset % f v")
	n.own(own, probe, "set % 1 xx")
	n.watched = command{args: []string{"watch", book}, keys: own}
	for _, job := range spec.Jobs {
		head, untracked := names.Manifest(job.Name, "head"), names.Untracked(0, job.Name)
		n.own(own, head, "get %", "set % v px 1", "pexpire % 1", "unlink %")
		n.own(own, untracked, "sadd % m", "srem % m", "sscan % 0", "rpush % m", "lrange % 0 1", "pexpire % 1",
			"unlink %")
		if kind.cluster {
			n.own(own, untracked, "smembers %")
		}
		n.own(pattern(job), sampleKey(job), "get %", "set % v px 1", "unlink %", "exists %", "pttl %", "pexpire % 1",
			script)
		switch job.Type {
		case jobs.TypeHash:
			n.own(pattern(job), sampleKey(job), "hset % f v", "hgetall %")
		case jobs.TypeZSet:
			n.own(pattern(job), sampleKey(job), "zadd % 1 m", "zrange % 0 1")
		}
	}
	return n
}

// cancelChannel is how Asynq has a worker end a task.
const cancelChannel = "asynq:cancel"

// Queue is what the Redis with the tasks and the run records has to take.
func Queue(spec *jobs.Spec, scope Scope) Needs {
	var n Needs
	kind := kindOf(spec.Redis.QueueURL)
	n.connection(kind)
	n.keyless("info", "time")
	n.records(spec)
	for _, queue := range jobs.Queues {
		n.queue(spec.Namespace, queue)
	}
	n.own("asynq:queues", "asynq:queues", "sadd % m", "srem % m", "smembers %", "sismember % m")
	for _, kind := range []string{"servers", "workers"} {
		n.own("asynq:"+kind+"*", "asynq:"+kind, "zadd % 1 m", "zrem % m", "zrangebyscore % 0 1")
		n.own("asynq:"+kind+"*", "asynq:"+kind+":{host}", "get %", "setex % 1 v", "del %", "exists %", "hset % f v",
			"hvals %", "expire % 1", script)
	}
	n.channels = []string{cancelChannel}
	if !scope.NoDashboard {
		n.dashboard(spec, kind)
	}
	if scope.Purge {
		n.keyless("scan 0")
		for _, queue := range jobs.Queues {
			n.own(queuePattern(spec.Namespace, queue), queueKey(spec.Namespace, queue, "t:id"), "exists %", "unlink %")
		}
		n.own(spec.Namespace.Prefix()+"*", spec.Namespace.Key("probe"), "exists %", "unlink %")
	}
	return n
}

// records are the run records, leases and accounts, and the register of all daemons.
func (n *Needs) records(spec *jobs.Spec) {
	name, own := spec.Namespace, spec.Namespace.Prefix()+"*"
	probe := layout.Names{Namespace: name}.Probe(0)
	n.own(own, probe, "set % 1 xx", script, "eval return 1 %")
	n.own(own, name.Key("format"), "get %", "set % 1")
	for _, key := range []string{"daemons", "specs"} {
		n.own(jobs.Own+key, jobs.Own+key, "hset % f v", "hdel % f", "hgetall %", "zadd % 1 m", "zrem % m",
			"zrange % 0 1", "zrangebyscore % 0 1", "zremrangebyscore % 0 1", "pexpire % 1", script, "eval return 1 %")
	}
	n.own(own, name.Key("lookups"), "hsetnx % f 0", "exists %", "hincrby % f 1", "hset % f v", "hmget % f",
		"pexpire % 1")
	n.own(own, name.Key("reads"), "get %", "set % 1")
	for _, job := range spec.Jobs {
		n.own(own, name.Key("runs:"+job.Name), "lpush % v", "ltrim % 0 1", "lrange % 0 1")
		n.own(own, name.Key("tally:"+job.Name), "hgetall %", "hincrby % f 1", "hset % f v", "hget % f", "hdel % f",
			"hsetnx % f v")
		n.own(own, name.Key("lease:"+job.Name), "set % v nx", "get %", "pttl %", "pexpire % 1", "del %")
		if job.Objective != nil {
			n.own(own, name.Key("objective:"+job.Name), "hmget % f", "hset % f v", "hdel % f", "pexpire % 1", "del %")
		}
	}
	if len(spec.Notify) > 0 {
		n.own(own, name.Key("notified"), "hkeys %", "hsetnx % f v", "hdel % f")
	}
}

// queue is what Asynq does with a queue, and we beside it.
func (n *Needs) queue(name jobs.Namespace, queue string) {
	asynq, own := queuePattern(name, queue), name.Prefix()+"*"
	n.own(asynq, queueKey(name, queue, "t:id"), "exists %", "hget % f", "hmget % f", "hset % f v", "hgetall %", "del %",
		"expire % 1")
	n.own(asynq, queueKey(name, queue, "pending"), "lpush % v", "rpush % v", "llen %", "lrange % 0 1", "lrem % 0 v",
		"rpoplpush % %", script, "eval return 1 %", "memory usage %")
	n.own(asynq, queueKey(name, queue, "retry"), "zadd % 1 m", "zcard %", "zrange % 0 1", "zrangebyscore % 0 1",
		"zrem % m", "zremrangebyrank % 0 1", "zremrangebyscore % 0 1", "zscore % m")
	n.own(asynq, queueKey(name, queue, "paused"), "get %", "del %")
	n.own(asynq, queueKey(name, queue, "processed"), "get %", "set % 1", "incr %", "expireat % 1")
	n.own(own, name.Key("handback:"+queue+":id"), "incr %", "pexpire % 1", "pttl %")
}

// dashboard is what only Asynq's dashboard does.
func (n *Needs) dashboard(spec *jobs.Spec, kind kind) {
	n.optional = true
	defer func() { n.optional = false }()
	n.own("asynq:schedulers*", "asynq:schedulers", "zrangebyscore % 0 1")
	n.own("asynq:scheduler_history:*", "asynq:scheduler_history:id", "zrevrange % 0 1")
	if kind.cluster {
		n.keyless("cluster info", "cluster nodes", "cluster keyslot k")
	}
	if !spec.Admin.QueuesWrite {
		return
	}
	n.keyless("publish " + cancelChannel + " id")
	for _, queue := range jobs.Queues {
		n.own(queuePattern(spec.Namespace, queue), queueKey(spec.Namespace, queue, "paused"), "setnx % 1")
	}
}

// Readers are what API nodes send that only read.
func Readers(spec *jobs.Spec) Needs {
	var n Needs
	n.keyless("ping", "select 0")
	if kindOf(spec.Redis.URL).cluster {
		n.keyless("command", "cluster slots", "cluster shards", "cluster nodes", "readonly")
	}
	for _, job := range spec.Jobs {
		if job.Type == jobs.TypeHash {
			n.own(pattern(job), sampleKey(job), "hgetall %", "hget % f", "hmget % f")
			continue
		}
		if job.Type == jobs.TypeZSet {
			n.own(pattern(job), sampleKey(job), "zrange % 0 1", "zrevrange % 0 1", "zrangebyscore % 0 1", "zcard %",
				"zrevrangebyscore % 1 0", "zscore % m", "zrank % m", "zrevrank % m")
			continue
		}
		n.own(pattern(job), sampleKey(job), "get %", "mget %")
		if job.Format == jobs.FormatFastAPIRedis || len(job.Omit) > 0 { // libraries read the TTL as well, as one
			n.own(pattern(job), sampleKey(job), "ttl %", "pttl %")
			n.keyless("multi", "exec")
		}
	}
	return n
}

func queuePattern(name jobs.Namespace, queue string) string {
	return globs.Replace(queueKey(name, queue, "")) + "*"
}

func queueKey(name jobs.Namespace, queue, key string) string {
	return "asynq:{" + name.Queue(queue) + "}:" + key
}

// And are the needs of a Redis that serves as both.
func (n Needs) And(more Needs) Needs {
	return Needs{commands: slices.Concat(n.commands, more.commands), channels: slices.Concat(n.channels, more.channels),
		patterns: slices.Concat(n.patterns, more.patterns), watched: n.watched}
}

// connection is what every connection begins with.
func (n *Needs) connection(k kind) {
	n.keyless("ping")
	if k.db {
		n.keyless("select 0")
	}
	if k.cluster {
		n.keyless("command", "cluster slots")
	}
}

func (n *Needs) keyless(lines ...string) {
	for _, line := range lines {
		n.commands = append(n.commands, command{args: strings.Fields(line), optional: n.optional})
	}
}

// own adds commands on one key.
func (n *Needs) own(pattern, key string, lines ...string) {
	covers := func(p string) bool {
		head, all := strings.CutSuffix(p, "*")
		return p == pattern || all && !strings.ContainsAny(head, `*?[\`) && strings.HasPrefix(pattern, head)
	}
	if i := slices.IndexFunc(n.patterns, covers); i >= 0 {
		pattern = n.patterns[i]
	} else {
		n.patterns = append(n.patterns, pattern)
	}
	for _, line := range lines {
		args := strings.Fields(line)
		for i, a := range args {
			if a == "%" {
				args[i] = key
			}
		}
		n.commands = append(n.commands, command{args: args, keys: pattern, optional: n.optional})
	}
}

// kind is what a URL leads to.
type kind struct {
	cluster  bool
	sentinel bool
	db       bool // a database other than 0 is selected
}

func kindOf(secret jobs.Secret) (k kind) {
	u, err := url.Parse(secret.Reveal())
	if err != nil {
		return k // the spec was refused for it
	}
	q := u.Query()
	db := strings.Trim(u.Path, "/")
	if q.Has("db") {
		db = q.Get("db")
	}
	k.cluster, k.sentinel = q.Has("addr"), q.Has("master_name")
	k.db = !k.cluster && db != "" && db != "0"
	return k
}

// pattern is what an ACL calls the keys of a job.
func pattern(job *jobs.Job) string {
	key := string(job.Key.Append(nil, func(dst []byte, _ int) []byte { return append(dst, 0) }))
	return strings.ReplaceAll(globs.Replace(key), "\x00", "*")
}

// globs escapes what has a meaning in a pattern. What would end a rule, or begin a quoted one, is any byte.
var globs = strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`, " ", "?", `"`, "?", "'", "?", "\t", "?",
	"\n", "?", "\r", "?")

// sampleKey is a key that a job could have.
func sampleKey(job *jobs.Job) string {
	return string(job.Key.Append(nil, func(dst []byte, _ int) []byte { return append(dst, '0') }))
}

// name is what an ACL calls the command.
func (c command) name() string {
	switch c.args[0] {
	case "script", "memory", "cluster":
		return c.args[0] + "|" + c.args[1]
	}
	return c.args[0]
}
