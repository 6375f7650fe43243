package cache

import (
	"context"
	"errors"
	"time"

	"github.com/stokerhq/stoker/store/cache/info"
)

// Memory is what the cache's Redis says of its memory, over all masters of a Cluster.
type Memory struct {
	Used    int64 // bytes
	Max     int64 // bytes; 0: no limit
	Evicted int64 // keys evicted since the servers began
}

// ErrNoInfo: the server does not answer INFO, or not to this user.
var ErrNoInfo = info.ErrNoInfo

// Memory is the memory and the evictions of the cache: what a look of Lost has found a moment ago, or else what
// the servers say now.
func (c *Cache) Memory(ctx context.Context) (Memory, error) {
	nodes := c.sight.nodesNow()
	if nodes == nil {
		var err error
		if nodes, err = c.info.Read(ctx); err != nil {
			return Memory{}, err
		}
	}
	all := info.Sum(nodes)
	return Memory{Used: all.Used, Max: all.Max, Evicted: all.Evicted}, nil
}

// Nodes asks every server of the cache what it says now. The error is ErrNoInfo where one may not be asked.
func (c *Cache) Nodes(ctx context.Context) ([]info.Node, error) { return c.info.Read(ctx) }

// OnState has fn called with what the servers say each time that Lost has asked them. It is set before Lost is called.
func (c *Cache) OnState(fn func(nodes []info.Node, at time.Time)) { c.sight.observe = fn }

// nodesNow are the servers as Lost has seen them in the last second; nil: it has not.
func (s *sight) nodesNow() []info.Node {
	s.mu.Lock()
	defer s.mu.Unlock()
	if time.Since(s.nodesAt) > 2*infoEvery {
		return nil
	}
	return s.nodes
}

// infoDue reports whether the servers are to be asked what they count. One that does not say is asked seldom.
func (s *sight) infoDue() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	every := infoEvery
	if s.blind {
		every = serverEvery
	}
	if time.Since(s.askedAt) < every {
		return false
	}
	s.askedAt = time.Now()
	return true
}

// saw keeps what the servers say.
func (s *sight) saw(nodes []info.Node, err error) {
	s.mu.Lock()
	now := time.Now()
	if s.blind = errors.Is(err, ErrNoInfo); err == nil {
		s.nodes, s.nodesAt = nodes, now
	}
	s.mu.Unlock()
	if err == nil && s.observe != nil {
		s.observe(nodes, now)
	}
}
