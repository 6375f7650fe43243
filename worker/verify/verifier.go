// Package verify compares the cache with the database, key by key, and repairs what is wrong through
// the worker's own refresh.
//
//	query ──> render ──> compare with Redis ──> right
//	                          │ differs, missing, or no row (orphans: SCAN)
//	                          v
//	                    recheckQueue: read Redis, Postgres, Redis again; after a pause once more
//	                          │ as wrong as before
//	                          v
//	                    finding with its cause ──> repair (fence, refresh) ──> recheckQueue
//
// What is read at two places at two times proves nothing: only a key that holds still and is wrong
// twice is a finding. An audit does the same all the time, a few keys a second.
package verify

import (
	"context"
	"log/slog"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/cache"
	"github.com/stokerhq/stoker/store/ledger"
)

// Source reads jobs' rows; store/postgres does.
type Source interface {
	Run(ctx context.Context, job *jobs.Job, fn func(*store.Reading) error) error
	Refresh(ctx context.Context, job *jobs.Job, keys []jobs.Key, fn func(*store.Reading) error) error
}

// Config is what a Verifier needs. Every field is required.
type Config struct {
	Spec   *jobs.Spec
	Source Source
	Cache  *cache.Cache
	Ledger *ledger.Ledger
	// Mend loads keys again, as an invalidation does; id names what asked for it in logs.
	Mend    func(ctx context.Context, id string, inv jobs.Invalidation) error
	Metrics *Metrics
	Log     *slog.Logger
}

// Verifier compares the cache with the database. It is safe for concurrent use.
type Verifier struct {
	spec    *jobs.Spec
	source  Source
	cache   *cache.Cache
	ledger  *ledger.Ledger
	refresh func(ctx context.Context, id string, inv jobs.Invalidation) error
	metrics *Metrics
	log     *slog.Logger
}

// New returns a verifier of the spec's jobs.
func New(c Config) *Verifier {
	v := &Verifier{source: c.Source, cache: c.Cache, ledger: c.Ledger, refresh: c.Mend, metrics: c.Metrics, log: c.Log}
	return v.With(c.Spec)
}

// With returns a verifier of another spec's jobs that shares everything else.
func (v *Verifier) With(spec *jobs.Spec) *Verifier {
	for _, job := range spec.Jobs {
		v.metrics.begin(job)
	}
	next := *v
	next.spec = spec
	return &next
}
