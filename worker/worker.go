// Package worker does it: it takes run and refresh tasks from Asynq's queues,
// reads the job's rows, encodes them and writes them to the cache. The recipe of
// a run is in run.go, that of a refresh in refresh.go; what becomes of a task
// that failed is in outcome.go.
package worker

import (
	"context"
	"iter"
	"log/slog"
	"time"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/cache"
)

// Source reads jobs' rows; store/postgres is one.
type Source interface {
	Run(ctx context.Context, job *jobs.Job, fn func(*store.Reading) error) error
	Refresh(ctx context.Context, job *jobs.Job, keys []jobs.Key, fn func(*store.Reading) error) error
	Keys(ctx context.Context, job *jobs.Job, keys []jobs.Key, fn func(*store.Reading) error) error
	Now(ctx context.Context) (store.Snapshot, error)
}

// Cache writes values; store/cache is one. It is the one way that values take.
type Cache interface {
	Arms
	Writes
	Manifests
	UntrackedKeys
}

// Arms is the part of a Cache that says what may be written.
type Arms interface {
	Arm(ctx context.Context) (*cache.Armed, error)
	Disarm(a *cache.Armed)
	Stamp(ctx context.Context, a *cache.Armed, s store.Snapshot) (store.Stamp, error)
}

// Writes is the part of a Cache that writes.
type Writes interface {
	ClaimRun(ctx context.Context, a *cache.Armed, job *jobs.Job, s store.Stamp, id string) (*cache.Claim, error)
	ClaimRefresh(a *cache.Armed, job *jobs.Job, s store.Stamp) *cache.Claim
	Put(ctx context.Context, c *cache.Claim, b *store.Batch) (cache.Outcome, error)
	Touch(ctx context.Context, c *cache.Claim, b *store.Batch) (there int64, err error)
	Fence(ctx context.Context, a *cache.Armed, s store.Stamp, keys [][]byte, grace time.Duration) (removed [][]byte,
		err error)
}

// Manifests is the part of a Cache that remembers complete runs.
type Manifests interface {
	Manifest(ctx context.Context, job string) (cache.Manifest, bool, error)
	Chunks(ctx context.Context, job string, m cache.Manifest) iter.Seq2[[]byte, error]
	KeepChunk(ctx context.Context, job string, m *cache.Manifest, chunk []byte, ttl time.Duration) error
	KeepManifest(ctx context.Context, c *cache.Claim, job string, m, before cache.Manifest, ttl time.Duration) error
	DropChunks(ctx context.Context, job string, m cache.Manifest) error
	DropManifest(ctx context.Context, job string, m cache.Manifest) error
}

// UntrackedKeys is the part of a Cache that knows what is there beyond the manifest of
// the last complete run.
type UntrackedKeys interface {
	Untracked(ctx context.Context, job string) (cache.Untracked, error)
	PutUntracked(ctx context.Context, c *cache.Claim, b *store.Batch) (cache.Outcome, error)
	ForgetUntracked(ctx context.Context, c *cache.Claim, keys [][]byte) error
	BeginJournal(ctx context.Context, c *cache.Claim, job *jobs.Job, chunk []byte) error
	Journaled(ctx context.Context, job, id string) iter.Seq2[[]byte, error]
	DropJournals(ctx context.Context, job string, ids []string) error
}

// Ledger keeps what is known of runs; store/cache has one.
type Ledger interface {
	Records
	Leases
	Refreshed(ctx context.Context, job string, keys int, failure error) error
	Audited(ctx context.Context, job string, a store.Audit) error
}

// Records is the part of a Ledger that runs write.
type Records interface {
	Add(ctx context.Context, r store.Record) error
	Report(ctx context.Context, p store.Progress) error
	KeepSample(ctx context.Context, job string, keys []string) error
	LastComplete(ctx context.Context, job string) (store.Record, bool, error)
	Runs(ctx context.Context, job string, n int) ([]store.Record, error) // newest first
	Skipped(ctx context.Context, job string) error
}

// Leases is the part of a Ledger that keeps two runs of one job apart.
type Leases interface {
	Lease(ctx context.Context, job, holder string, ttl time.Duration) (bool, error)
	Renew(ctx context.Context, job, holder string, ttl time.Duration) (bool, error)
	Release(ctx context.Context, job, holder string) error
	Holder(ctx context.Context, job string) (holder string, left time.Duration, err error)
}

// Worker does runs and refreshes. It is safe for concurrent use.
type Worker struct {
	spec    *jobs.Spec
	source  Source
	cache   Cache
	ledger  Ledger
	metrics *Metrics
	log     *slog.Logger
}

// New returns a worker of the spec's jobs.
func New(spec *jobs.Spec, s Source, c Cache, l Ledger, m *Metrics, log *slog.Logger) *Worker {
	m.begin(spec.Jobs)
	return &Worker{spec: spec, source: s, cache: c, ledger: l, metrics: m, log: log}
}

// afterwardsLimit is how long what must be done after the end of a context may take.
const afterwardsLimit = 5 * time.Second
