package dial

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stokerhq/stoker/jobs"
)

// Patience is how long a client waits for an answer, and how often it asks
// again. The zero value is go-redis' own.
type Patience struct {
	Read    time.Duration
	Retries int
}

// Open returns a client for a go-redis URL. It does not connect. A URL with
// ?master_name= is a Sentinel's, one with ?addr= names more nodes of a cluster.
// Commands end when their context does, also against a server that hangs.
func Open(e jobs.Endpoint, p Patience) (redis.UniversalClient, error) {
	raw := e.URL.Reveal()
	u, err := url.Parse(raw)
	if err != nil {
		return nil, errors.New("the redis URL does not parse (write redis://host:6379/0)") // err would print it
	}
	if credentialsMisplaced(u) {
		// the URL would print a part of it
		return nil, errors.New("the redis URL has an @ where none belongs; in a password write / as %2F, ? as %3F, " +
			"# as %23 and @ as %40")
	}
	switch q := u.Query(); {
	case q.Has("master_name"):
		o, err := redis.ParseFailoverURL(raw)
		if err != nil {
			return nil, fmt.Errorf("redis Sentinel URL %s: %w", e.URL.Redacted(), err)
		}
		p.apply(&o.ReadTimeout, &o.MaxRetries, &o.ContextTimeoutEnabled)
		return failover(e, o)
	case q.Has("addr"):
		o, err := redis.ParseClusterURL(raw)
		if err != nil {
			return nil, fmt.Errorf("redis Cluster URL %s: %w", e.URL.Redacted(), err)
		}
		p.apply(&o.ReadTimeout, &o.MaxRetries, &o.ContextTimeoutEnabled)
		d, err := newDialer(e, o.DialTimeout, o.TLSConfig)
		if err != nil {
			return nil, err
		}
		d.serve(&o.Dialer, &o.Username, &o.Password)
		return redis.NewClusterClient(o), nil
	}
	o, err := redis.ParseURL(raw)
	if err != nil {
		return nil, fmt.Errorf("redis URL %s: %w", e.URL.Redacted(), err)
	}
	p.apply(&o.ReadTimeout, &o.MaxRetries, &o.ContextTimeoutEnabled)
	d, err := newDialer(e, o.DialTimeout, o.TLSConfig)
	if err != nil {
		return nil, err
	}
	d.serve(&o.Dialer, &o.Username, &o.Password)
	return redis.NewClient(o), nil
}

// failover is the client of the Redis that Sentinels watch.
func failover(e jobs.Endpoint, o *redis.FailoverOptions) (redis.UniversalClient, error) {
	d, err := newDialer(e, o.DialTimeout, o.TLSConfig)
	if err != nil {
		return nil, err
	}
	if d == nil {
		return redis.NewFailoverClient(o), nil
	}
	d.serve(&o.Dialer, &o.Username, &o.Password)
	d.takeOver(&o.SentinelUsername, &o.SentinelPassword)
	o.MinIdleConns = 0 // they would be dialled before the next line but one
	c := redis.NewFailoverClient(o)
	c.Options().Network = masterNetwork
	return c, nil
}

// apply sets what the URL itself leaves open.
func (p Patience) apply(read *time.Duration, retries *int, heedContext *bool) {
	*heedContext = true
	if *read == 0 {
		*read = p.Read
	}
	if *retries == 0 {
		*retries = p.Retries
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
