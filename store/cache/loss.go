package cache

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/cache/info"
)

// sight is what the last check for a loss found.
type sight struct {
	mu             sync.Mutex
	at             time.Time // of the last check that found the cache whole; zero: none
	epoch, history uint32

	serverAt time.Time    // when the run id was read last
	dials    int64        // connections that were open by then
	dialed   atomic.Int64 // connections that this process has opened

	observe          func([]info.Node, time.Time)
	askedAt, nodesAt time.Time   // when the servers were asked what they count, and when they answered
	nodes            []info.Node // their last answer
	blind            bool        // they do not say
}

// How long an answer of Lost is good for Epoch, and how often the run id is read although no connection was opened.
const (
	sightLife   = time.Second
	serverEvery = 10 * time.Second

	infoEvery = 800 * time.Millisecond // less than two looks of who calls Lost: evictions are noticed within a second
)

// Lost says why what was cached cannot be relied on any more; "" if it can. It is made to be called several times a
// second: it is one command, every other time with a second one in the same round trip: what the servers count, and
// which they are. Where connections were opened since, as after a restart or a failover they must be, they are asked
// which they are in any case. It changes nothing: who finds a loss arms anew.
//
// In Cluster any master may be lost: the record knows their run ids.
func (c *Cache) Lost(ctx context.Context) (reason string, err error) {
	record, server, err := c.glance(ctx)
	if err != nil {
		return "", err
	}
	if record[0] == nil {
		return "redis was flushed, or started again without its data", nil
	}
	if format, _ := record[3].(string); format != "" {
		if _, err := store.CheckFormat(formatOf, format); err != nil {
			return "", err
		}
	}
	if dials, due := c.sight.reconnected(); due || server != "" {
		if server == "" {
			if server, err = c.server(ctx); err != nil {
				return "", err
			}
		}
		if record[2] != server {
			return "redis was started again, or another server has taken its place", nil
		}
		c.sight.known(dials)
	}
	if known, _ := record[4].(string); info.Joined(info.Masters(c.sight.nodesNow()), known) {
		return "a master of the cluster was started again, or another server has taken its place", nil
	}
	return "", c.sight.keep(record)
}

// glance reads the record of the epoch, and when that is due what the servers count; server is then the run id of the
// one that has answered.
func (c *Cache) glance(ctx context.Context) (record []any, server string, err error) {
	due := c.sight.infoDue()
	p := c.c.Pipeline()
	epoch := p.HMGet(ctx, c.names.Epoch(), "epoch", "history", "server", "format", "masters")
	var state *redis.StringCmd
	if due && !c.names.Cluster {
		state = c.info.Queue(ctx, p)
	}
	_, _ = p.Exec(ctx) // each command has its own error
	if epoch.Err() != nil {
		return nil, "", epoch.Err()
	}
	switch {
	case !due:
	case c.names.Cluster:
		nodes, err := c.info.Read(ctx)
		c.sight.saw(nodes, err)
		if err != nil && !errors.Is(err, ErrNoInfo) {
			return nil, "", err // a master that does not answer may be lost: who has its slots is asked anew
		}
	default:
		node, err := c.info.Parse(state)
		c.sight.saw([]info.Node{node}, err)
		server = node.RunID
	}
	return epoch.Val(), server, nil
}

// reconnected reports whether the server may be another one than at the last call of known.
func (s *sight) reconnected() (dials int64, due bool) {
	dials = s.dialed.Load()
	s.mu.Lock()
	defer s.mu.Unlock()
	return dials, dials != s.dials || time.Since(s.serverAt) > serverEvery
}

// known notes that the server is the epoch's, as seen over the connections opened so far.
func (s *sight) known(dials int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dials, s.serverAt = dials, time.Now()
}

// keep notes the epoch of a cache that is whole.
func (s *sight) keep(record []any) error {
	epoch, err := parseEpoch(record[0])
	if err != nil {
		return err
	}
	history, err := parseEpoch(record[1])
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.at, s.epoch, s.history = time.Now(), epoch, history
	return nil
}

// recent returns the epoch that Lost has read a moment ago in this process.
func (s *sight) recent() (now, history uint32, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.epoch, s.history, time.Since(s.at) < sightLife
}

// forget makes Epoch ask Redis: the epoch has changed, or may have.
func (s *sight) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.at = time.Time{}
}

// dialHook counts the connections of a client.
type dialHook struct{ dialed *atomic.Int64 }

func (h dialHook) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := next(ctx, network, addr)
		if err == nil {
			h.dialed.Add(1)
		}
		return conn, err
	}
}

func (dialHook) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }

func (dialHook) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}
