// Package connect opens the connections of one process to the servers that a spec names.
package connect

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/stokerhq/stoker/cmd/stoker/internal/trace"
	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/jobs/access"
	"github.com/stokerhq/stoker/jobs/specfile"
	"github.com/stokerhq/stoker/jobs/tracing"
	"github.com/stokerhq/stoker/store/cache"
	"github.com/stokerhq/stoker/store/cache/info"
	"github.com/stokerhq/stoker/store/ledger"
	"github.com/stokerhq/stoker/store/postgres"
	"github.com/stokerhq/stoker/store/postgres/analyze"
	"github.com/stokerhq/stoker/store/postgres/connector"
	"github.com/stokerhq/stoker/store/queue"
	"github.com/stokerhq/stoker/store/rights"
)

// Servers are the connections of one process to the spec's databases. Nothing
// is connected before it is used.
type Servers struct {
	Source      *postgres.Source
	Analyst     *analyze.Analyst      // of the queries of jobs
	CacheClient redis.UniversalClient // where API nodes read
	QueueClient redis.UniversalClient // where Asynq and the ledger live
	Cache       *cache.Cache
	Ledger      *ledger.Ledger

	namespace jobs.Namespace
	queueURL  jobs.Secret
	tracing   *trace.Tracing
	lookups   ownLookups
	enqueuer  redis.UniversalClient // QueueClient, or one of its own that makes spans
}

// Open prepares the connections. An error is a mistake in one of the spec's URLs.
func Open(spec *jobs.Spec, log *slog.Logger) (*Servers, error) { return OpenTraced(spec, log, nil) }

// OpenTraced is Open for a process that makes traces, or with nil none.
func OpenTraced(spec *jobs.Spec, log *slog.Logger, t *trace.Tracing) (*Servers, error) {
	quietRedis(log)
	access.SetLogger(log)
	s := &Servers{namespace: spec.Namespace, queueURL: spec.Redis.QueueURL, tracing: t}
	var opts []postgres.Option
	if t != nil {
		opts = append(opts, postgres.Traced(t.Postgres()))
	}
	var err error
	if s.Source, err = postgres.Open(spec.Postgres, opts...); err != nil {
		return nil, err
	}
	s.Analyst = analyze.New(s.Source)
	if s.CacheClient, err = cache.OpenAt(spec.Redis.Cache()); err == nil {
		s.QueueClient, err = cache.OpenAt(spec.Redis.Queue())
	}
	if s.enqueuer = s.QueueClient; err == nil && t != nil {
		s.enqueuer, err = openEnqueuer(spec.Redis.Queue(), t)
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	s.Cache = cache.NewIn(spec.Namespace, s.CacheClient, Longest(spec))
	s.Ledger = ledger.NewIn(spec.Namespace, s.QueueClient)
	s.lookups = newOwnLookups(spec.Redis, s.QueueClient)
	s.Cache.CountLookups(s.lookups.counter)
	s.CountQueue(s.QueueClient)
	if s.enqueuer != s.QueueClient {
		s.CountQueue(s.enqueuer)
	}
	return s, nil
}

// openEnqueuer opens the client that enqueues, with a span for each of its commands. The others have none: what they
// are asked within one run would be thousands.
func openEnqueuer(at jobs.Endpoint, t *trace.Tracing) (redis.UniversalClient, error) {
	c, err := cache.OpenAt(at)
	if err != nil {
		return nil, err
	}
	if err := t.Redis(c); err != nil {
		return nil, errors.Join(fmt.Errorf("trace the queue's client: %w", err), c.Close())
	}
	return c, nil
}

// Drivers read the URLs of a spec as Open will, without connecting.
var Drivers = specfile.Drivers{Postgres: connector.CheckURL, Redis: func(url jobs.Secret) error {
	c, err := cache.Open(url)
	if err != nil {
		return err
	}
	return c.Close()
}}

// Longest is how long a run or a refresh of any job may take.
func Longest(spec *jobs.Spec) (d time.Duration) {
	for _, job := range spec.Jobs {
		d = max(d, job.Timeout)
	}
	return d
}

// Close ends all connections.
func (s *Servers) Close() error {
	s.reportLast()
	s.Source.Close()
	var errs error
	for _, c := range []redis.UniversalClient{s.CacheClient, s.QueueClient} {
		if c != nil {
			errs = errors.Join(errs, c.Close())
		}
	}
	if s.enqueuer != nil && s.enqueuer != s.QueueClient {
		errs = errors.Join(errs, s.enqueuer.Close())
	}
	return errs
}

// Sampler counts which keys of a job are in the cache.
func (s *Servers) Sampler() ledger.Sampler { return ledger.Sampler{Ledger: s.Ledger, Cache: s.Cache} }

// Tracer begins spans; nil if this process makes none.
func (s *Servers) Tracer() *tracing.Tracer { return s.tracing.Tracer() }

// Enqueuer puts tasks on their queue, marked with the definition that their job has in a spec.
type Enqueuer struct {
	client *queue.Client
	spec   func() *jobs.Spec
}

// Enqueuer enqueues tasks for a spec, which may be replaced; it shares a connection and needs no closing.
func (s *Servers) Enqueuer(spec func() *jobs.Spec) Enqueuer {
	return Enqueuer{queue.NewClient(s.namespace, s.enqueuer), spec}
}

// Ticks is Enqueuer for what is named by its time, and makes no spans: of all replicas, one enqueues a tick, and the
// spans of the others would have no parent.
func (s *Servers) Ticks(spec func() *jobs.Spec) Enqueuer {
	return Enqueuer{queue.NewClient(s.namespace, s.QueueClient), spec}
}

// EnqueueContext is that of *asynq.Client.
func (e Enqueuer) EnqueueContext(ctx context.Context, t *asynq.Task, opts ...asynq.Option) (*asynq.TaskInfo, error) {
	jobs.MarkDefinition(t, e.spec())
	return e.client.EnqueueContext(ctx, t, opts...)
}

// Inspector looks at tasks; it shares QueueClient and needs no closing.
func (s *Servers) Inspector() *queue.Inspector { return queue.NewInspector(s.namespace, s.QueueClient) }

// Queues looks at the queues and repairs them; it shares QueueClient and needs no closing.
func (s *Servers) Queues() *queue.Queues { return queue.NewIn(s.namespace, s.QueueClient) }

// OldestMajor and OldestMinor: asynq archives tasks with commands that older servers lack.
const OldestMajor, OldestMinor = 6, 2

// Suitable refuses a Redis for tasks that cannot work and warns of one that may lose
// them.
func (s *Servers) Suitable(ctx context.Context, log *slog.Logger) error {
	server, err := info.Inspect(ctx, s.QueueClient)
	if err != nil {
		return rights.Explain(s.QueueClient, s.queueURL, err)
	}
	if !server.AtLeast(OldestMajor, OldestMinor) {
		return fmt.Errorf("redis %s is too old: Stoker needs %d.%d or newer", server.Version, OldestMajor, OldestMinor)
	}
	if server.Evicts() {
		log.Warn("redis may evict queued tasks without a word: give the queue a Redis of its own "+
			"(redis.queue_url), or choose a volatile-* policy or noeviction", "maxmemory_policy", server.Policy)
	}
	return nil
}

// lookEvery is how often the signs of Postgres' history are looked at.
const lookEvery = 10 * time.Second

// WarnUnnoticed says, once, which changes of history would go unnoticed because Postgres
// refuses their signs, until ctx ends.
func (s *Servers) WarnUnnoticed(ctx context.Context, log *slog.Logger) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for said := ""; ; {
		limited, cancel := context.WithTimeout(ctx, lookEvery)
		message, err := s.Source.Unnoticed(limited)
		cancel()
		switch {
		case err != nil || message == said: // without an answer, the next look says it
		case message == "":
			log.Info("all signs of a changed history of postgres can be read now")
			said = ""
		default:
			log.Warn(message)
			said = message
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// redisLog hands go-redis' own lines to slog: they repeat what the failed
// command's error says, so they are for debugging.
type redisLog struct{ log *slog.Logger }

func (l redisLog) Printf(_ context.Context, format string, v ...any) {
	l.log.Debug("go-redis: " + fmt.Sprintf(format, v...))
}

var quietOnce sync.Once

// quietRedis: go-redis has one logger a process.
func quietRedis(log *slog.Logger) { quietOnce.Do(func() { redis.SetLogger(redisLog{log}) }) }
