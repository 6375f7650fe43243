package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store/cache"
	"github.com/stokerhq/stoker/store/ledger"
	"github.com/stokerhq/stoker/store/postgres"
)

// servers are the connections of one process to the spec's databases. Nothing
// is connected before it is used.
type servers struct {
	spec   *jobs.Spec
	source *postgres.Source
	cacheC redis.UniversalClient // where API nodes read
	queueC redis.UniversalClient // where Asynq and the ledger live
	cache  *cache.Cache
	ledger *ledger.Ledger
}

func openServers(spec *jobs.Spec, log *slog.Logger) (*servers, error) {
	quietRedis(log)
	s := &servers{spec: spec}
	var err error
	if s.source, err = postgres.Open(spec.Postgres); err != nil {
		return nil, usageError{err}
	}
	if s.cacheC, err = cache.Open(spec.Redis.URL); err == nil {
		s.queueC, err = cache.Open(spec.Redis.QueueURL)
	}
	if err != nil {
		return nil, errors.Join(usageError{err}, s.close())
	}
	s.cache, s.ledger = cache.New(s.cacheC, longest(spec)), ledger.New(s.queueC)
	return s, nil
}

// longest is how long a run or a refresh of any job may take.
func longest(spec *jobs.Spec) (d time.Duration) {
	for _, job := range spec.Jobs {
		d = max(d, job.Timeout)
	}
	return d
}

// close ends all connections.
func (s *servers) close() error {
	s.source.Close()
	var errs error
	for _, c := range []redis.UniversalClient{s.cacheC, s.queueC} {
		if c != nil {
			errs = errors.Join(errs, c.Close())
		}
	}
	return errs
}

func (s *servers) sampler() ledger.Sampler { return ledger.Sampler{Ledger: s.ledger, Cache: s.cache} }

// client enqueues tasks; it shares queueC and needs no closing.
func (s *servers) client() *asynq.Client { return asynq.NewClientFromRedisClient(s.queueC) }

// inspector looks at tasks; it shares queueC and needs no closing.
func (s *servers) inspector() *asynq.Inspector { return asynq.NewInspectorFromRedisClient(s.queueC) }

// oldestRedis: asynq archives tasks with commands that older servers lack.
const oldestMajor, oldestMinor = 6, 2

// suitable refuses a Redis that cannot work and warns of one that may lose
// tasks.
func (s *servers) suitable(ctx context.Context, log *slog.Logger) error {
	info, err := cache.Inspect(ctx, s.queueC)
	if err != nil {
		return err
	}
	if !info.AtLeast(oldestMajor, oldestMinor) {
		return fmt.Errorf("redis %s is too old: Stoker needs %d.%d or newer", info.Version, oldestMajor, oldestMinor)
	}
	if info.Evicts() {
		log.Warn("redis may evict queued tasks without a word: give the queue a Redis of its own "+
			"(redis.queue_url), or choose a volatile-* policy or noeviction", "maxmemory_policy", info.Policy)
	}
	return nil
}

// queueOption hands our way of connecting to the Asynq dashboard, which opens
// and closes clients of its own.
type queueOption struct{ url jobs.Secret }

// MakeRedisClient implements asynq.RedisConnOpt.
func (o queueOption) MakeRedisClient() any {
	c, err := cache.Open(o.url)
	if err != nil {
		// openServers has opened the same URL: it parses.
		panic(err)
	}
	return c
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
