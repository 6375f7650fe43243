package info

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
)

// Server is what Stoker must know of a Redis before it relies on it.
type Server struct {
	Version   string // "7.0.15"; empty when the server does not say
	Policy    string // maxmemory_policy
	MaxMemory int64  // bytes; 0 is no limit
}

// Inspect asks a Redis for its version and eviction policy.
func Inspect(ctx context.Context, c redis.UniversalClient) (Server, error) {
	if err := c.Ping(ctx).Err(); err != nil {
		return Server{}, fmt.Errorf("reach redis: %w", err)
	}
	var found Server
	for _, section := range []string{"server", "memory"} {
		text, err := c.Info(ctx, section).Result()
		if _, refused := errors.AsType[redis.Error](err); refused {
			continue // a server without INFO, or a user without the right to it
		}
		if err != nil {
			return Server{}, fmt.Errorf("ask redis for its %s section: %w", section, err)
		}
		found.read(text)
	}
	return found, nil
}

func (s *Server) read(text string) {
	for line := range strings.Lines(text) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), ":")
		if !ok {
			continue
		}
		switch name {
		case "redis_version":
			s.Version = value
		case "maxmemory_policy":
			s.Policy = value
		case "maxmemory":
			if n, err := strconv.ParseInt(value, 10, 64); err == nil {
				s.MaxMemory = n
			}
		}
	}
}

// AtLeast reports whether the version is major.minor or newer. A server that
// does not say its version is given the benefit of the doubt.
func (s Server) AtLeast(major, minor int) bool {
	parts := strings.SplitN(s.Version, ".", 3)
	if len(parts) < 2 {
		return true
	}
	ma, err1 := strconv.Atoi(parts[0])
	mi, err2 := strconv.Atoi(parts[1])
	if err1 != nil || err2 != nil {
		return true
	}
	return ma > major || ma == major && mi >= minor
}

// Evicts reports whether the server may remove keys that have no TTL, which
// loses queued tasks without a word.
func (s Server) Evicts() bool { return strings.HasPrefix(s.Policy, "allkeys") }
