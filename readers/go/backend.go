package reader

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

// Backend is where values are read. There is no way to write.
type Backend interface {
	// Get returns the value of a key, and nil without an error if there is none.
	Get(ctx context.Context, key string) ([]byte, error)
	Close() error
}

// Memory is a Backend of values in a map, for tests and for development without a Redis.
type Memory map[string][]byte

// Get returns the value of a key.
func (m Memory) Get(_ context.Context, key string) ([]byte, error) { return m[key], nil }

// Close does nothing.
func (m Memory) Close() error { return nil }

// RedisConfig bounds what a Redis may cost.
type RedisConfig struct {
	Connections int           // default 50
	PoolWait    time.Duration // how long a request waits for one when all are busy; default 500 ms

	// Timeout is for a whole read: a Redis that hangs must cost less than the query that it saves. Default 500 ms
	Timeout time.Duration
}

// Redis is a Backend of a go-redis client.
type Redis struct {
	client redis.UniversalClient
	limit  time.Duration
	own    bool
}

// Open returns a Backend of a client of its own for a URL, as redis://host:6379/0. It does not connect yet.
func Open(url string, cfg RedisConfig) (*Redis, error) {
	opt, err := redis.ParseURL(url)
	if err != nil {
		return nil, fmt.Errorf("the URL of the cache's Redis: %w (write redis://host:6379/0)", err)
	}
	cfg.Connections = orDefault(cfg.Connections, 50)
	cfg.PoolWait = orDefault(cfg.PoolWait, 500*time.Millisecond)
	cfg.Timeout = orDefault(cfg.Timeout, 500*time.Millisecond)
	opt.PoolSize, opt.PoolTimeout = cfg.Connections, cfg.PoolWait
	opt.DialTimeout, opt.ReadTimeout, opt.WriteTimeout = cfg.Timeout, cfg.Timeout, cfg.Timeout
	opt.ContextTimeoutEnabled = true
	opt.MaxRetries = 1 // a connection that Redis has closed meanwhile
	return &Redis{client: redis.NewClient(opt), limit: cfg.PoolWait + cfg.Timeout, own: true}, nil
}

// NewRedis returns a Backend of a client that the application has, and closes itself.
func NewRedis(client redis.UniversalClient, timeout time.Duration) *Redis {
	return &Redis{client: client, limit: orDefault(timeout, time.Second)}
}

// Get returns the value of a key.
func (r *Redis) Get(ctx context.Context, key string) ([]byte, error) {
	// The client's time-outs bound each try; this bounds them together.
	limited, cancel := context.WithTimeout(ctx, r.limit)
	defer cancel()
	value, err := r.client.Get(limited, key).Bytes()
	if errors.Is(err, redis.Nil) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("get %s: %w", key, err)
	}
	return append([]byte{}, value...), nil // an empty value is one, too
}

// Close closes the client, if Open has made it.
func (r *Redis) Close() error {
	if !r.own {
		return nil
	}
	return r.client.Close()
}
