package worker

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/cache"
)

// Cache has the calls that tests replace: a broken one embeds the real one and overrides a method.
type Cache interface {
	Stamp(ctx context.Context, a *cache.Armed, s store.Snapshot) (store.Stamp, error)
	ClaimRun(ctx context.Context, a *cache.Armed, job *jobs.Job, s store.Stamp, id string) (*cache.Claim, error)
	Put(ctx context.Context, c *cache.Claim, b *store.Batch) (cache.Outcome, error)
	Fence(ctx context.Context, a *cache.Armed, s store.Stamp, keys [][]byte, grace time.Duration) ([][]byte, error)
	Manifest(ctx context.Context, job string) (cache.Manifest, bool, error)
	Part(ctx context.Context, c *cache.Claim, job string) (cache.Manifest, bool, error)
	KeepPart(ctx context.Context, job string, m cache.Manifest, ttl time.Duration) error
	DropChunks(ctx context.Context, job string, m cache.Manifest) error
	BeginJournal(ctx context.Context, c *cache.Claim, job *jobs.Job, chunk []byte) error
	Untracked(ctx context.Context, job string) (cache.Untracked, error)
}

// newWorker returns a worker of the rig on a source and the cache direct, whose calls go to c.
func (r *rig) newWorker(source Source, direct *cache.Cache, c Cache, m *Metrics, log *slog.Logger) *Worker {
	w := New(Config{Spec: r.spec, Source: source, Cache: direct, Ledger: r.ledger, Metrics: m, Log: log})
	w.calls = calls{stamp: c.Stamp, claimRun: c.ClaimRun, put: c.Put, fence: c.Fence, manifest: c.Manifest,
		part: c.Part, keepPart: c.KeepPart,
		dropChunks: c.DropChunks, beginJournal: c.BeginJournal, untracked: c.Untracked}
	return w
}

// another returns a second worker of the rig, whose calls go to c.
func (r *rig) another(c Cache) *Worker { return r.newWorker(r.source, r.real, c, r.w.metrics, r.w.log) }

func newMetrics() *Metrics { return NewMetrics(prometheus.NewRegistry()) }
