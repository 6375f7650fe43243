// Package info reads what the servers of a cache say of themselves: who they are, their memory, and what they count.
package info

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/redis/go-redis/v9"
)

// Node is what one server says. What it does not say is zero.
type Node struct {
	RunID   string
	Role    string // "master" or "slave"
	Version string // "7.0.15"
	Policy  string // maxmemory_policy
	Used    int64  // bytes
	Max     int64  // bytes; 0: no limit

	// since the server began
	Evicted int64
	Expired int64
	Hits    int64 // reads that found their key
	Misses  int64
}

// ErrNoInfo: a server does not answer INFO, or not to this user.
var ErrNoInfo = errors.New("redis does not answer INFO: allow the command to see its memory and evictions")

// Reader reads the servers behind a client. It is safe for concurrent use.
type Reader struct {
	c       redis.UniversalClient
	several atomic.Bool // the servers take several sections in one command, as Redis does from 7.0 on
}

// NewReader returns a reader for a client, which the caller closes.
func NewReader(c redis.UniversalClient) *Reader { return &Reader{c: c} }

// Read asks every master: one command each. A server of a Cluster that was one a moment ago is an error.
func (r *Reader) Read(ctx context.Context) ([]Node, error) {
	cluster, is := r.c.(*redis.ClusterClient)
	if !is {
		node, err := r.Parse(r.Queue(ctx, r.c))
		return []Node{node}, err
	}
	var mu sync.Mutex
	var nodes []Node
	err := cluster.ForEachMaster(ctx, func(ctx context.Context, c *redis.Client) error {
		node, err := r.Parse(r.Queue(ctx, c))
		if err == nil && node.Role == "slave" { // "" where it does not say
			err = fmt.Errorf("the masters of the cluster change: one is now a %s", node.Role)
		}
		mu.Lock()
		defer mu.Unlock()
		nodes = append(nodes, node)
		return err
	})
	return nodes, err
}

// Queue sends the command, or adds it to a pipeline.
func (r *Reader) Queue(ctx context.Context, c redis.Cmdable) *redis.StringCmd {
	if r.several.Load() {
		return c.Info(ctx, "server", "memory", "stats", "replication")
	}
	return c.Info(ctx)
}

// Parse reads the answer to what Queue has sent.
func (r *Reader) Parse(cmd *redis.StringCmd) (n Node, err error) {
	text, err := cmd.Result()
	if _, refused := errors.AsType[redis.Error](err); refused {
		r.several.Store(false)
		return n, fmt.Errorf("%w: %w", ErrNoInfo, err)
	}
	if err != nil {
		return n, fmt.Errorf("ask redis for its state: %w", err)
	}
	texts := map[string]*string{"run_id": &n.RunID, "redis_version": &n.Version, "maxmemory_policy": &n.Policy,
		"role": &n.Role}
	numbers := map[string]*int64{"used_memory": &n.Used, "maxmemory": &n.Max, "evicted_keys": &n.Evicted,
		"expired_keys": &n.Expired, "keyspace_hits": &n.Hits, "keyspace_misses": &n.Misses}
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		if into, is := texts[name]; is {
			*into = value
		}
		if into, is := numbers[name]; is {
			if *into, err = strconv.ParseInt(value, 10, 64); err != nil {
				return n, fmt.Errorf("read %s of redis: %w", name, err)
			}
			delete(numbers, name)
		}
	}
	if len(numbers) > 0 {
		return n, ErrNoInfo
	}
	major, _, _ := strings.Cut(n.Version, ".")
	number, err := strconv.Atoi(major)
	r.several.Store(err == nil && number >= 7)
	return n, nil
}

// Sum adds up what the masters of a cache say. Its policy is the first one's.
func Sum(nodes []Node) (all Node) {
	for _, n := range nodes {
		all.Used, all.Max, all.Evicted, all.Expired = all.Used+n.Used, all.Max+n.Max, all.Evicted+n.Evicted,
			all.Expired+n.Expired
		all.Hits, all.Misses = all.Hits+n.Hits, all.Misses+n.Misses
	}
	if i := slices.IndexFunc(nodes, func(n Node) bool { return n.Policy != "" }); i >= 0 {
		all.Policy = nodes[i].Policy
	}
	return all
}
