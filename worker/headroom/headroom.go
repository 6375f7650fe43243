// Package headroom keeps runs from filling the cache's Redis: a part of maxmemory stays free, for what others write
// and for what Redis needs itself.
//
//	before a run reads:  last record × share of keys that are gone = growth ──► used + growth > limit: refused
//	while it writes:     what each server uses, 4 times a second at most ──► one is past its bound: the run ends
//
// A run that replaces values in place adds nothing and is not refused, however full Redis is.
package headroom

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/cache"
	"github.com/stokerhq/stoker/store/cache/info"
)

// Cache is asked what its servers use; *cache.Cache is one.
type Cache interface {
	Nodes(ctx context.Context) ([]info.Node, error)
}

// Warmth samples how much of a job's keyset is in the cache; store/ledger has one.
type Warmth interface {
	Warmth(ctx context.Context, job string) (present, sampled int, err error)
}

// Ledger knows the last run that wrote every row; store/ledger does.
type Ledger interface {
	LastComplete(ctx context.Context, job string) (store.Record, bool, error)
}

// Config is what a Guard needs. Every field is required.
type Config struct {
	Free    func(maxmemory int64) int64 // bytes of a server that stay free; jobs.Redis says how many
	Cache   Cache
	Warmth  Warmth
	Ledger  Ledger
	Metrics prometheus.Registerer
}

// Guard refuses runs for which there is no room. It is safe for concurrent use; a nil Guard refuses none.
type Guard struct {
	cfg      Config
	refusals *prometheus.CounterVec
}

// New returns a guard.
func New(c Config) *Guard {
	g := &Guard{cfg: c, refusals: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "stoker_cache_headroom_refusals_total",
		Help: "Runs that were refused, or ended, because the cache would have had less than redis.headroom free.",
	}, []string{"job"})}
	c.Metrics.MustRegister(g.refusals)
	return g
}

// Begin is asked before a run of a job reads. The watch it returns is told of what the run writes; it is nil, and
// watches nothing, where no server has a limit, or will not say, or where the job may evict other keys. The error is
// a *store.HeadroomError where the run would not fit, or that of a server that was asked.
func (g *Guard) Begin(ctx context.Context, job *jobs.Job) (*Watch, error) {
	if g == nil {
		return nil, nil
	}
	g.refusals.WithLabelValues(job.Name) // shown at zero
	nodes, err := g.cfg.Cache.Nodes(ctx)
	if errors.Is(err, cache.ErrNoInfo) {
		return nil, nil // check says so
	}
	if err != nil {
		return nil, fmt.Errorf("look at redis' memory: %w", err)
	}
	bounded := slices.ContainsFunc(nodes, func(n info.Node) bool { return n.Max > 0 })
	if !bounded || mayEvict(job, nodes...) {
		return nil, nil
	}
	if _, err := g.Fits(ctx, job, nodes); err != nil {
		return nil, err
	}
	return newWatch(g, job, nodes), nil
}

// mayEvict reports whether other keys may go for a job's, and servers remove keys rather than refuse a write.
func mayEvict(job *jobs.Job, nodes ...info.Node) bool {
	return job.Evictable && !slices.ContainsFunc(nodes, func(n info.Node) bool {
		return n.Policy == "noeviction" || n.Policy == ""
	})
}

// limit is up to where runs may fill a server, in bytes.
func (g *Guard) limit(n info.Node) int64 { return n.Max - g.cfg.Free(n.Max) }

// Fits returns about how many bytes a run adds, as far as that is known, and refuses one that would take a server past
// its limit. Servers of a Cluster get an equal part each.
func (g *Guard) Fits(ctx context.Context, job *jobs.Job, nodes []info.Node) (growth int64, err error) {
	growth, known, err := g.growth(ctx, job)
	if err != nil || mayEvict(job, nodes...) {
		return growth, err
	}
	each := growth / int64(len(nodes))
	for _, n := range nodes {
		if n.Max == 0 {
			continue
		}
		if known && growth > 0 && n.Used+each > g.limit(n) {
			return growth, g.refuse(job, n, store.HeadroomError{Growth: growth})
		}
		if !known && n.Used > g.limit(n) {
			return growth, g.refuse(job, n, store.HeadroomError{})
		}
	}
	return growth, nil
}

// growth is about how many bytes a run adds. It is not known of a job that has never been complete. One whose
// definition has changed replaces the keys that it has; what it adds to them shows while it writes.
func (g *Guard) growth(ctx context.Context, job *jobs.Job) (bytes int64, known bool, err error) {
	last, is, err := g.cfg.Ledger.LastComplete(ctx, job.Name)
	if err != nil || !is {
		return 0, false, err
	}
	present, sampled, err := g.cfg.Warmth.Warmth(ctx, job.Name)
	if err != nil {
		return 0, false, err
	}
	return last.Missing(present, sampled), true, nil
}

// refuse completes the error for a server that is too full.
func (g *Guard) refuse(job *jobs.Job, n info.Node, e store.HeadroomError) error {
	g.refusals.WithLabelValues(job.Name).Inc()
	e.Job, e.Used, e.Max, e.Free = job.Name, n.Used, n.Max, g.cfg.Free(n.Max)
	if job.Evictable && !mayEvict(job, n) {
		e.Policy = "noeviction"
	}
	return &e
}
