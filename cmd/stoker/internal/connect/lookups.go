package connect

import (
	"context"
	"log/slog"
	"net/url"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/lookups"
)

// reportEvery is how often a process tells what it has looked up.
const reportEvery = time.Second

// ownLookups counts what this process looks up in the servers of the cache.
type ownLookups struct {
	counter *lookups.Counter
	shared  bool   // the queue is on a server of the cache
	unknown string // why its lookups cannot be counted; empty: they can, or need not
}

func newOwnLookups(r jobs.Redis, queue redis.UniversalClient) ownLookups {
	o := ownLookups{counter: new(lookups.Counter), shared: sameServer(r.Cache(), r.Queue())}
	if _, one := queue.(*redis.Client); o.shared && !one {
		o.unknown = "the queue is in the Cluster of the cache, and what it looks up there cannot be told from what " +
			"readers do: give the queue a Redis of its own (redis.queue_url)"
	}
	return o
}

// CountQueue has what a client of the queue looks up counted, if that is in a server of the cache.
func (s *Servers) CountQueue(c redis.UniversalClient) {
	if one, is := c.(*redis.Client); is && s.lookups.shared {
		one.AddHook(lookups.HookAll(s.lookups.counter, one))
	}
}

// ReadsUnknown says why the readers' part of what the servers of the cache count cannot be known; empty: it can.
func (s *Servers) ReadsUnknown() string { return s.lookups.unknown }

// ReportLookups tells what this process has looked up, each second, until ctx ends.
func (s *Servers) ReportLookups(ctx context.Context, log *slog.Logger) {
	tick := time.NewTicker(reportEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := s.reportLookups(ctx); err != nil && ctx.Err() == nil {
			log.Debug("Stoker's own lookups could not be told; they are told later", jobs.LogErr, err)
		}
	}
}

// reportLookups tells what was counted since; what cannot be told is kept.
func (s *Servers) reportLookups(ctx context.Context) error {
	hits, misses, blind := s.lookups.counter.Take()
	if hits == 0 && misses == 0 && !blind {
		return nil
	}
	n := store.Lookups{Hits: hits, Misses: misses}
	if blind {
		n.Blind = time.Now()
	}
	err := s.Ledger.AddLookups(ctx, n)
	if err != nil {
		s.lookups.counter.Add(float64(hits), float64(misses))
	}
	return err
}

// lastReport is how long the end of a process may wait for its last report.
const lastReport = 2 * time.Second

// reportLast tells what is left, of a command that ends, too.
func (s *Servers) reportLast() {
	if s.Ledger == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), lastReport)
	defer cancel()
	_ = s.reportLookups(ctx) // it is a share of a second, or a command's; and whoever measures says how long it did
}

// sameServer reports whether two endpoints are of one server, or of one Sentinel's primary or Cluster.
func sameServer(a, b jobs.Endpoint) bool {
	if a.URL.Equal(b.URL) {
		return true
	}
	ua, err := url.Parse(a.URL.Reveal())
	ub, berr := url.Parse(b.URL.Reveal())
	return err == nil && berr == nil && ua.Host == ub.Host &&
		ua.Query().Get("master_name") == ub.Query().Get("master_name")
}
