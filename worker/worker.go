// Package worker takes run and refresh tasks from Asynq's queues, reads the job's rows, encodes them and
// writes them to the cache.
//
//	Asynq ──► Server ──► handler ──► Worker.Run ──────────► run: lease ► arm ► read ► claim ► write ► complete
//	                        │                                    │ nothing committed since the last run: unchanged
//	                        │                                    └ keys that are no longer in the result: vanished
//	                        └──────► Worker.Refresh ──────► refresh: lock ► arm ► read ► fence ► claim ► write
//	change feed ────────────────────► Worker.Fence, Worker.RefreshFenced
//
// run.go and refresh.go have the two recipes, manifest_state.go what one run leaves for the next,
// outcome.go what becomes of a task that failed, and definitions.go what becomes of work in hand when the spec is
// loaded again.
package worker

import (
	"context"
	"log/slog"
	"time"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/jobs/tracing"
	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/cache"
	"github.com/stokerhq/stoker/store/ledger"
	"github.com/stokerhq/stoker/worker/debt"
	"github.com/stokerhq/stoker/worker/equal"
	"github.com/stokerhq/stoker/worker/headroom"
	"github.com/stokerhq/stoker/worker/inhand"
)

// Source reads jobs' rows; store/postgres is one.
type Source interface {
	Run(ctx context.Context, job *jobs.Job, fn func(*store.Reading) error) error
	Refresh(ctx context.Context, job *jobs.Job, keys []jobs.Key, fn func(*store.Reading) error) error
	Keys(ctx context.Context, job *jobs.Job, keys []jobs.Key, fn func(*store.Reading) error) error
	equal.Source
	Now(ctx context.Context) (store.Snapshot, error)
}

// Analyst knows what a job's query depends on; store/postgres/analyze has one.
type Analyst interface {
	// Unsteady says why the result of the query may change although nothing is committed, as of a snapshot with this
	// clock. now is a snapshot that the caller has.
	Unsteady(ctx context.Context, job *jobs.Job, now store.Snapshot) (why []string, clock uint64, err error)
	// Filtered are the relations of which row-level security hides rows from the role that asks.
	Filtered(ctx context.Context, job *jobs.Job) ([]string, error)
}

// Config is what a Worker needs. Every field but Analyst, Headroom and Tracer is required.
type Config struct {
	Spec     *jobs.Spec
	Source   Source
	Analyst  Analyst // nil: a query is taken for a function of tables unless its job is volatile
	Cache    *cache.Cache
	Headroom *headroom.Guard // nil: runs write whatever memory the cache has
	Ledger   *ledger.Ledger  // of runs, and of the leases that keep two runs of one job apart
	Metrics  *Metrics
	Tracer   *tracing.Tracer // of tasks; nil: none is traced
	Log      *slog.Logger
}

// Worker does runs and refreshes. It is safe for concurrent use.
type Worker struct {
	defs     *inhand.Definitions
	source   Source
	analyst  Analyst
	cache    *cache.Cache
	headroom *headroom.Guard
	calls    calls
	ledger   *ledger.Ledger
	metrics  *Metrics
	tracer   *tracing.Tracer
	log      *slog.Logger
	gate     *debt.Gate // of the cache
}

// New returns a worker of the spec's jobs.
func New(c Config) *Worker {
	c.Metrics.begin(c.Spec.Jobs)
	return &Worker{defs: inhand.New(c.Spec, ErrStopping), source: c.Source, analyst: c.Analyst, cache: c.Cache,
		headroom: c.Headroom, gate: debt.NewGate(c.Cache), calls: callsOf(c.Cache), ledger: c.Ledger,
		metrics: c.Metrics, tracer: c.Tracer, log: c.Log}
}

// calls are the calls of the cache on which a guarantee rests. Tests replace them, one at a time, to show
// that the guarantee does not hold without it. Each is the method of that name of *cache.Cache.
type calls struct {
	stamp    func(ctx context.Context, a *cache.Armed, s store.Snapshot) (store.Stamp, error)
	claimRun func(ctx context.Context, a *cache.Armed, j *jobs.Job, s store.Stamp, id string) (*cache.Claim, error)
	put      func(ctx context.Context, c *cache.Claim, b *store.Batch) (cache.Outcome, error)
	fence    func(ctx context.Context, a *cache.Armed, s store.Stamp, keys [][]byte, grace time.Duration) ([][]byte,
		error)
	part         func(ctx context.Context, c *cache.Claim, job string) (cache.Manifest, bool, error)
	keepPart     func(ctx context.Context, job string, m cache.Manifest, ttl time.Duration) error
	manifest     func(ctx context.Context, job string) (cache.Manifest, bool, error)
	dropChunks   func(ctx context.Context, job string, m cache.Manifest) error
	beginJournal func(ctx context.Context, c *cache.Claim, job *jobs.Job, chunk []byte) error
	untracked    func(ctx context.Context, job string) (cache.Untracked, error)
}

func callsOf(c *cache.Cache) calls {
	return calls{stamp: c.Stamp, claimRun: c.ClaimRun, put: c.Put, fence: c.Fence, manifest: c.Manifest,
		part: c.Part, keepPart: c.KeepPart,
		dropChunks: c.DropChunks, beginJournal: c.BeginJournal, untracked: c.Untracked}
}

// afterwardsLimit is how long what must be done after the end of a context may take.
const afterwardsLimit = 5 * time.Second
