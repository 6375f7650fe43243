package cache

import (
	"context"
	"crypto/sha1"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/redis/go-redis/v9"
)

// The steps of the write protocol, a file each. Their order and the proof that
// they suffice is in doc.go.
//
//go:embed scripts/*.lua
var scripts embed.FS

var (
	armScript    = readScript("arm")
	claimScript  = readScript("claim")
	putScript    = readScript("put")
	touchScript  = readScript("touch")
	fenceScript  = readScript("fence")
	pruneScript  = readScript("prune")
	epochScript  = readScript("epoch")
	formatScript = readScript("format")
	clockScript  = readScript("clock")
	keepScript   = readScript("keep")
	settleScript = readScript("settle")
)

// script is one Lua script and the name under which Redis knows it.
type script struct{ name, text, sha string }

func readScript(name string) script {
	text, err := scripts.ReadFile("scripts/" + name + ".lua")
	if err != nil {
		panic(err) // it is part of the binary
	}
	return newScript(name, string(text))
}

func newScript(name, text string) script {
	sum := sha1.Sum([]byte(text))
	return script{name, text, hex.EncodeToString(sum[:])}
}

// plain is the script without its first line of flags, which Redis 6.2 does not
// know.
func (s script) plain() script {
	if rest, flagged := strings.CutPrefix(s.text, "#!"); flagged {
		_, rest, _ = strings.Cut(rest, "\n")
		return newScript(s.name, rest)
	}
	return s
}

// call is one execution of a script: the key of a book or a record comes first.
type call struct {
	keys []string
	args []any
}

// run executes a script once for each call, in one round trip, and returns the
// replies. Redis forgets scripts when it restarts or fails over: it is given the
// script then, and the calls that missed it are made again.
func (c *Cache) run(ctx context.Context, s script, calls ...call) ([]*redis.Cmd, error) {
	if c.flagless.Load() {
		s = s.plain()
	}
	cmds, err := c.pipeline(ctx, s, calls)
	defer func() { c.countScript(s.name, calls, cmds) }()
	if !redis.HasErrorPrefix(err, "NOSCRIPT") {
		return cmds, err
	}
	if s, err = c.load(ctx, s); err != nil {
		return nil, err
	}
	var missed []call
	var at []int
	for i, cmd := range cmds {
		if redis.HasErrorPrefix(cmd.Err(), "NOSCRIPT") {
			missed, at = append(missed, calls[i]), append(at, i)
		}
	}
	again, err := c.pipeline(ctx, s, missed)
	for i, cmd := range again {
		cmds[at[i]] = cmd
	}
	return cmds, err
}

// pipeline returns every reply, and the first error there was.
func (c *Cache) pipeline(ctx context.Context, s script, calls []call) ([]*redis.Cmd, error) {
	cmds := make([]*redis.Cmd, len(calls))
	pipe := c.c.Pipeline()
	for i, call := range calls {
		cmds[i] = pipe.EvalSha(ctx, s.sha, call.keys, call.args...)
	}
	_, err := pipe.Exec(ctx)
	return cmds, err
}

// load gives a script to Redis, to every master of a cluster.
func (c *Cache) load(ctx context.Context, s script) (script, error) {
	err := c.scriptLoad(ctx, s)
	_, refused := errors.AsType[redis.Error](err)
	if plain := s.plain(); refused && plain.sha != s.sha {
		if perr := c.scriptLoad(ctx, plain); perr == nil {
			c.flagless.Store(true)
			return plain, nil
		}
	}
	if err != nil {
		return s, fmt.Errorf("load the script %s into redis: %w", s.name, err)
	}
	return s, nil
}

func (c *Cache) scriptLoad(ctx context.Context, s script) error {
	if cluster, ok := c.c.(*redis.ClusterClient); ok {
		return cluster.ForEachMaster(ctx, func(ctx context.Context, node *redis.Client) error {
			return node.ScriptLoad(ctx, s.text).Err()
		})
	}
	return c.c.ScriptLoad(ctx, s.text).Err()
}
