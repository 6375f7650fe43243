package lookups

import (
	"context"
	"strconv"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"
	"golang.org/x/time/rate"
)

const (
	// sampledRate is how many scripts a second are measured: two INFO of one section cost Redis some 50 us.
	sampledRate = 20
	// remembered is of how many measured calls a mean is made.
	remembered = 20
)

// sampler measures what scripts look up that do not say it.
type sampler struct {
	client  *redis.Client
	counter *Counter
	limit   *rate.Limiter

	mu    sync.Mutex
	means map[string]*mean // :: by the script's digest
	blind bool             // the server does not answer INFO in a transaction, or not to this user
}

// mean is what a call of a script has looked up of late.
type mean struct {
	Count
	calls int
}

func newSampler(client *redis.Client, c *Counter) *sampler {
	return &sampler{client: client, counter: c, limit: rate.NewLimiter(sampledRate, sampledRate),
		means: make(map[string]*mean)}
}

func isScript(cmd redis.Cmder) bool {
	switch strings.ToLower(cmd.Name()) {
	case "eval", "evalsha", "eval_ro", "evalsha_ro", "fcall", "fcall_ro":
		return len(cmd.Args()) > 1
	}
	return false
}

// name is the digest of a script, or its text.
func name(cmd redis.Cmder) string {
	text, _ := cmd.Args()[1].(string)
	return text
}

// measuringKey marks the context of a measurement, whose commands come by the hook again.
type measuringKey struct{}

func (s *sampler) measuring(ctx context.Context) bool { return ctx.Value(measuringKey{}) != nil }

// process has a script executed, and returns what it has looked up.
func (s *sampler) process(ctx context.Context, cmd redis.Cmder, next redis.ProcessHook) (hits, misses float64,
	err error) {
	if s.due() {
		var done bool
		if hits, misses, done, err = s.measure(ctx, cmd); done {
			return hits, misses, err
		}
	}
	if err = next(ctx, cmd); err != nil && err != redis.Nil {
		return 0, 0, err
	}
	hits, misses = s.estimate(cmd)
	return hits, misses, err
}

// due reports whether a call is to be measured.
func (s *sampler) due() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.blind && s.limit.Allow()
}

// measure executes a script between two INFO. done is false if it was not executed.
func (s *sampler) measure(ctx context.Context, cmd redis.Cmder) (hits, misses float64, done bool, err error) {
	var before, after *redis.StringCmd
	_, err = s.client.TxPipelined(context.WithValue(ctx, measuringKey{}, true), func(p redis.Pipeliner) error {
		before = p.Info(ctx, "stats")
		_ = p.Process(ctx, cmd)
		after = p.Info(ctx, "stats")
		return nil
	})
	if redis.HasErrorPrefix(err, "EXECABORT") || redis.HasErrorPrefix(err, "NOPERM") {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.blind = true
		s.counter.setBlind()
		return 0, 0, false, nil
	}
	from, known := stats(before.Val())
	to, both := stats(after.Val())
	if !known || !both { // the connection broke, or the server does not say
		return 0, 0, true, cmd.Err()
	}
	hits, misses = to.Hits-from.Hits, to.Misses-from.Misses
	if err = cmd.Err(); err == nil || err == redis.Nil {
		s.learn(name(cmd), hits, misses)
	}
	return hits, misses, true, err
}

// stats reads the two counters.
func stats(text string) (c Count, known bool) {
	found := 0
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		var into *float64
		switch name {
		case "keyspace_hits":
			into = &c.Hits
		case "keyspace_misses":
			into = &c.Misses
		default:
			continue
		}
		n, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return c, false
		}
		*into = n
		found++
	}
	return c, found == 2
}

// learn takes a measured call into the mean of its script.
func (s *sampler) learn(name string, hits, misses float64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.means[name]
	if m == nil {
		m = &mean{}
		s.means[name] = m
	}
	m.calls = min(m.calls+1, remembered)
	part := 1 / float64(m.calls)
	m.Hits += (hits - m.Hits) * part
	m.Misses += (misses - m.Misses) * part
}

// estimate is what a call that was not measured has looked up, by those that were.
func (s *sampler) estimate(cmd redis.Cmder) (hits, misses float64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if m := s.means[name(cmd)]; m != nil {
		return m.Hits, m.Misses
	}
	return 0, 0
}
