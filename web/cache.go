package web

import (
	"context"
	"time"
)

// statusFresh is how long one look at Redis serves everyone who looks at the
// page: open tabs must not add up to load.
const statusFresh = time.Second

// statusLimit ends a look at a Redis that does not answer.
const statusLimit = 5 * time.Second

// statusCache runs one look at a time and shares what it saw.
type statusCache struct {
	collect func(context.Context) []JobStatus
	turn    chan struct{} // holds one token; who has it owns the fields below
	seen    []JobStatus
	at      time.Time
}

func newStatusCache(collect func(context.Context) []JobStatus) *statusCache {
	c := &statusCache{collect: collect, turn: make(chan struct{}, 1)}
	c.turn <- struct{}{}
	return c
}

// get returns a status no older than statusFresh. Callers must not change it.
func (c *statusCache) get(ctx context.Context) ([]JobStatus, error) {
	select {
	case <-c.turn:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { c.turn <- struct{}{} }()
	if c.seen != nil && time.Since(c.at) < statusFresh {
		return c.seen, nil
	}
	// One visitor who leaves must not spoil what the next ones see.
	look, cancel := context.WithTimeout(context.WithoutCancel(ctx), statusLimit)
	defer cancel()
	c.seen = c.collect(look)
	c.at = time.Now()
	return c.seen, nil
}
