package cache

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stokerhq/stoker/jobs"
)

// Open returns a client for a go-redis URL. It does not connect. A URL with
// ?master_name= is a Sentinel's, one with ?addr= names more nodes of a cluster.
// Commands end when their context does, also against a server that hangs.
func Open(secret jobs.Secret) (redis.UniversalClient, error) {
	return open(secret, patience{})
}

// OpenForAsynq is Open for the client of an Asynq server, whose commands have no
// deadline of their own: one that is not answered soon must fail, or it holds up
// heartbeats and the end of the process.
func OpenForAsynq(secret jobs.Secret) (redis.UniversalClient, error) {
	return open(secret, patience{read: 2 * time.Second, retries: 1})
}

// patience is how long a client waits for an answer, and how often it asks
// again. The zero value is go-redis' own.
type patience struct {
	read    time.Duration
	retries int
}

func open(secret jobs.Secret, p patience) (redis.UniversalClient, error) {
	raw := secret.Reveal()
	u, err := url.Parse(raw)
	if err != nil {
		return nil, errors.New("the redis URL does not parse (write redis://host:6379/0)") // err would print it
	}
	if credentialsMisplaced(u) {
		// the URL would print a part of it
		return nil, errors.New("the redis URL has an @ where none belongs; in a password write / as %2F, ? as %3F, " +
			"# as %23 and @ as %40")
	}
	q := u.Query()
	switch {
	case q.Has("master_name"):
		o, err := redis.ParseFailoverURL(raw)
		if err != nil {
			return nil, fmt.Errorf("redis Sentinel URL %s: %w", secret.Redacted(), err)
		}
		p.apply(&o.ReadTimeout, &o.MaxRetries, &o.ContextTimeoutEnabled)
		return redis.NewFailoverClient(o), nil
	case q.Has("addr"):
		o, err := redis.ParseClusterURL(raw)
		if err != nil {
			return nil, fmt.Errorf("redis Cluster URL %s: %w", secret.Redacted(), err)
		}
		p.apply(&o.ReadTimeout, &o.MaxRetries, &o.ContextTimeoutEnabled)
		return redis.NewClusterClient(o), nil
	}
	o, err := redis.ParseURL(raw)
	if err != nil {
		return nil, fmt.Errorf("redis URL %s: %w", secret.Redacted(), err)
	}
	p.apply(&o.ReadTimeout, &o.MaxRetries, &o.ContextTimeoutEnabled)
	return redis.NewClient(o), nil
}

// apply sets what the URL itself leaves open.
func (p patience) apply(read *time.Duration, retries *int, heedContext *bool) {
	*heedContext = true
	if *read == 0 {
		*read = p.read
	}
	if *retries == 0 {
		*retries = p.retries
	}
}

// credentialsMisplaced reports whether some of a user and password lie where neither the
// parser nor Redacted looks for them: after a special character in the password
// that is not escaped, or in the address of another node.
func credentialsMisplaced(u *url.URL) bool {
	at := func(s string) bool { return strings.Contains(s, "@") }
	q := u.Query()
	return at(u.Fragment) || at(u.Path) && u.Scheme != "unix" ||
		slices.ContainsFunc(q["addr"], at) || slices.ContainsFunc(slices.Collect(maps.Keys(q)), at)
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
