package connect

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/cache"
	"github.com/stokerhq/stoker/web"
)

// Writes knows whether the Redis servers of a process take writes. It is safe for concurrent use.
type Writes struct {
	namespace jobs.Namespace
	servers   []*writtenServer
	gauge     *prometheus.GaugeVec
	log       *slog.Logger
}

// writtenServer is one Redis, and what the last look at it has found.
type writtenServer struct {
	name   string   // what it is to Stoker
	labels []string // of its metric
	client redis.UniversalClient

	mu    sync.Mutex
	err   error
	since time.Time // when writes were first refused
}

// NewWrites returns what looks at the servers of a spec; a cache and a queue of one URL are one server.
func NewWrites(spec *jobs.Spec, s *Servers, log *slog.Logger) *Writes {
	w := &Writes{namespace: spec.Namespace, log: log, gauge: prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "stoker_redis_writable",
		Help: "1 if this Redis (cache, queue) took a write at the last look, some seconds ago; 0 if it refused it, " +
			"or did not answer."}, []string{"redis"})}
	if spec.Redis.Shared() {
		w.servers = []*writtenServer{{name: "cache and queue", labels: []string{"cache", "queue"},
			client: s.CacheClient}}
		return w
	}
	w.servers = []*writtenServer{
		{name: "cache", labels: []string{"cache"}, client: s.CacheClient},
		{name: "queue", labels: []string{"queue"}, client: s.QueueClient},
	}
	return w
}

// Register shows the servers in the metrics.
func (w *Writes) Register(r prometheus.Registerer) {
	r.MustRegister(w.gauge)
	for _, s := range w.servers {
		w.show(s, 1)
	}
}

// How often the servers are looked at, and how long one may take to answer.
const (
	writesEvery = 2 * time.Second
	writesLimit = 5 * time.Second
)

// Watch looks at the servers until ctx ends.
func (w *Writes) Watch(ctx context.Context) {
	for {
		limited, cancel := context.WithTimeout(ctx, writesLimit)
		_ = w.Probe(limited) // it is logged, and kept
		cancel()
		if !store.Sleep(ctx, writesEvery) {
			return
		}
	}
}

// Probe looks at all servers now. The error names those that take no writes, and what to do.
func (w *Writes) Probe(ctx context.Context) error {
	errs := make([]error, len(w.servers))
	var wg sync.WaitGroup
	for i, s := range w.servers {
		wg.Go(func() {
			err := cache.Probe(ctx, s.client, w.namespace)
			if errors.Is(ctx.Err(), context.Canceled) {
				return
			}
			w.note(s, err)
			if err != nil {
				errs[i] = fmt.Errorf("%s: %w", s.name, err)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// note keeps what a look has found, and logs a change.
func (w *Writes) note(s *writtenServer, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before, since := s.err, s.since
	switch {
	case err != nil && before == nil:
		s.since = time.Now()
		w.log.Warn("redis takes no writes; what was accepted is done when it does", "redis", s.name, jobs.LogErr, err)
	case err == nil && before != nil:
		w.log.Info("redis takes writes again", "redis", s.name, "after", time.Since(since).Round(time.Second))
	}
	s.err = err
	taken := 0.0
	if err == nil {
		taken = 1
	}
	w.show(s, taken)
}

func (w *Writes) show(s *writtenServer, writable float64) {
	for _, label := range s.labels {
		w.gauge.WithLabelValues(label).Set(writable)
	}
}

// Refused returns the servers that refused a write at the last look. One that did not answer is not among them: what
// reads from it says so.
func (w *Writes) Refused() []web.Refused {
	var list []web.Refused
	for _, s := range w.servers {
		s.mu.Lock()
		if r, is := store.RefusalIn(s.err); is {
			list = append(list, web.Refused{Redis: s.name, Message: r.String(), Since: s.since})
		}
		s.mu.Unlock()
	}
	return list
}
