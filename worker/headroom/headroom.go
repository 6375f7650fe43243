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
	Share   float64 // of maxmemory that stays free, 0 to 1
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
	if g.unbounded(nodes) || job.Evictable && evicts(nodes) {
		return nil, nil
	}
	if err := g.fits(ctx, job, nodes); err != nil {
		return nil, err
	}
	return newWatch(g, job, nodes), nil
}

// unbounded reports whether no server has a limit of memory.
func (g *Guard) unbounded(nodes []info.Node) bool {
	for _, n := range nodes {
		if n.Max > 0 {
			return false
		}
	}
	return true
}

// evicts reports whether every server removes keys rather than refuse a write.
func evicts(nodes []info.Node) bool { return barren(nodes) == "" }

// barren is the policy of a server that evicts nothing; "": all evict.
func barren(nodes []info.Node) string {
	for _, n := range nodes {
		if n.Policy == "noeviction" || n.Policy == "" {
			return "noeviction"
		}
	}
	return ""
}

// limit is up to where runs may fill a server, in bytes.
func (g *Guard) limit(n info.Node) int64 { return n.Max - g.free(n) }

func (g *Guard) free(n info.Node) int64 { return int64(float64(n.Max) * g.cfg.Share) }

// fits refuses a run that would take a server past its limit. Servers of a Cluster get an equal part each.
func (g *Guard) fits(ctx context.Context, job *jobs.Job, nodes []info.Node) error {
	growth, known, err := g.Growth(ctx, job)
	if err != nil {
		return err
	}
	each := growth / int64(len(nodes))
	for _, n := range nodes {
		if n.Max == 0 {
			continue
		}
		if known && growth > 0 && n.Used+each > g.limit(n) {
			return g.refuse(job, n, store.HeadroomError{Growth: growth})
		}
		if !known && n.Used > g.limit(n) {
			return g.refuse(job, n, store.HeadroomError{})
		}
	}
	return nil
}

// Growth is about how many bytes a run adds. It is not known of a job that has never been complete. One whose
// definition has changed replaces the keys that it has; what it adds to them shows while it writes.
func (g *Guard) Growth(ctx context.Context, job *jobs.Job) (bytes int64, known bool, err error) {
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
	e.Job, e.Used, e.Max, e.Free = job.Name, n.Used, n.Max, g.free(n)
	if job.Evictable {
		e.Policy = barren([]info.Node{n})
	}
	return &e
}
