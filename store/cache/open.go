package cache

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store/cache/dial"
)

// Open returns a client for a go-redis URL, as OpenAt does for a server of the spec.
func Open(secret jobs.Secret) (redis.UniversalClient, error) {
	return OpenAt(jobs.Endpoint{Field: "redis", URL: secret})
}

// OpenAt returns a client for a server of the spec. It does not connect.
func OpenAt(e jobs.Endpoint) (redis.UniversalClient, error) { return dial.Open(e, dial.Patience{}) }

// OpenForAsynq is OpenAt for the client of an Asynq server, whose commands have no
// deadline of their own: one that is not answered soon must fail, or it holds up
// heartbeats and the end of the process.
func OpenForAsynq(e jobs.Endpoint) (redis.UniversalClient, error) {
	return dial.Open(e, dial.Patience{Read: 2 * time.Second, Retries: 1})
}

// Info is what Stoker must know of a Redis before it relies on it.
type Info struct {
	Version   string // "7.0.15"; empty when the server does not say
	Policy    string // maxmemory_policy
	MaxMemory int64  // bytes; 0 is no limit
}

// Inspect asks a Redis for its version and eviction policy.
func Inspect(ctx context.Context, c redis.UniversalClient) (Info, error) {
	if err := c.Ping(ctx).Err(); err != nil {
		return Info{}, fmt.Errorf("reach redis: %w", err)
	}
	var info Info
	for _, section := range []string{"server", "memory"} {
		text, err := c.Info(ctx, section).Result()
		if _, refused := errors.AsType[redis.Error](err); refused {
			continue // a server without INFO, or a user without the right to it
		}
		if err != nil {
			return Info{}, fmt.Errorf("ask redis for its %s section: %w", section, err)
		}
		info.read(text)
	}
	return info, nil
}

func (i *Info) read(text string) {
	for line := range strings.Lines(text) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), ":")
		if !ok {
			continue
		}
		switch name {
		case "redis_version":
			i.Version = value
		case "maxmemory_policy":
			i.Policy = value
		case "maxmemory":
			if n, err := strconv.ParseInt(value, 10, 64); err == nil {
				i.MaxMemory = n
			}
		}
	}
}

// AtLeast reports whether the version is major.minor or newer. A server that
// does not say its version is given the benefit of the doubt.
func (i Info) AtLeast(major, minor int) bool {
	parts := strings.SplitN(i.Version, ".", 3)
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
func (i Info) Evicts() bool { return strings.HasPrefix(i.Policy, "allkeys") }
