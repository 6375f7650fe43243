package objective

import (
	"context"
	"crypto/rand"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
)

// Config is what a Meter needs. Every field but Every is required.
type Config struct {
	Spec     *jobs.Spec
	Records  Records
	Epochs   Epochs
	Sampler  Sampler
	Accounts Accounts
	Leases   Leases
	Log      *slog.Logger
	// Every is how often it is looked. Default 1 s.
	Every time.Duration
}

// Records are what the change feed and runs have left; store/ledger has them.
type Records interface {
	Freshness(ctx context.Context, names []string) (store.Freshness, []store.LastRuns, error)
}

// Epochs says which epoch it is, and in which this history began; store/cache does.
type Epochs interface {
	Epoch(ctx context.Context) (now, history uint32, err error)
}

// Sampler counts how many keys of a job's sample are in Redis.
type Sampler interface {
	Warmth(ctx context.Context, job string) (present, sampled int, err error)
}

// Accounts are kept where all replicas find them; store/ledger does.
type Accounts interface {
	Budgets
	KeepBudget(ctx context.Context, job string, c store.BudgetChange) (bool, error)
	DropBudgets(ctx context.Context, names []string) error
}

// Leases let one replica measure; store/ledger has them.
type Leases interface {
	Renew(ctx context.Context, name, holder string, ttl time.Duration) (bool, error)
	Release(ctx context.Context, name, holder string) error
}

// How a Meter spends time.
const (
	leaseName = "#objective" // which no job can have
	leaseTTL  = 5 * time.Second
	lookEvery = time.Second
	lookLimit = 5 * time.Second // of one look
	keepEvery = 5 * time.Second // how often accounts are written

	warmEvery  = 5 * time.Second  // how often the samples of keys are looked at
	warmCounts = 10 * time.Second // how long a look at one counts: longer than a lease takes to pass on
)

// Meter measures the objectives of a spec's jobs, while it is the one replica that does.
type Meter struct {
	cfg    Config
	holder string
	spec   atomic.Pointer[jobs.Spec] // cfg.Spec, or what has replaced it
	jobs   map[string]*measured      // :: job name
	tidied *jobs.Spec                // whose jobs without an objective have no account
	warmed time.Time                 // when samples were looked at
	quiet  map[string]bool           // :: what failed, and was said
}

// New returns a meter.
func New(c Config) *Meter {
	if c.Every <= 0 {
		c.Every = lookEvery
	}
	m := &Meter{cfg: c, holder: rand.Text(), jobs: make(map[string]*measured), quiet: make(map[string]bool)}
	m.spec.Store(c.Spec)
	return m
}

// Replace has another spec measured from the next look on.
func (m *Meter) Replace(spec *jobs.Spec) { m.spec.Store(spec) }

// Run measures until ctx ends.
func (m *Meter) Run(ctx context.Context) {
	defer m.release(ctx)
	step := time.NewTicker(m.cfg.Every)
	defer step.Stop()
	for {
		if m.measures(ctx) {
			m.turn(ctx, time.Now())
		}
		select {
		case <-ctx.Done():
			return
		case <-step.C:
		}
	}
}

// measures reports whether there is something to measure, and this replica is to do it. Where no job has an objective
// no lease is asked for.
func (m *Meter) measures(ctx context.Context) bool {
	spec := m.spec.Load()
	if !spec.HasObjective() && (m.tidied == spec || len(m.jobs) == 0 && m.tidied == nil) {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, leaseTTL)
	defer cancel()
	held, err := m.cfg.Leases.Renew(ctx, leaseName, m.holder, leaseTTL)
	if m.warn(ctx, "the lease", err); err != nil {
		return false // what was counted stands; what is written counts only if nobody else has
	}
	if !held {
		clear(m.jobs)
	}
	return held
}

// release writes what was counted and gives the lease back.
func (m *Meter) release(ctx context.Context) {
	ctx, cancel := store.Afterwards(ctx, 2*time.Second)
	defer cancel()
	if len(m.jobs) == 0 {
		return
	}
	m.turn(ctx, time.Now())
	for _, j := range m.jobs {
		m.keep(ctx, j, time.Now())
	}
	if err := m.cfg.Leases.Release(ctx, leaseName, m.holder); err != nil {
		m.cfg.Log.Warn("the lease of the objectives was not given back; it lapses by itself", jobs.LogErr, err)
	}
}

// turn looks at all jobs that have an objective and counts the time since the last look.
func (m *Meter) turn(ctx context.Context, now time.Time) {
	ctx, cancel := context.WithTimeout(ctx, lookLimit)
	defer cancel()
	spec := m.spec.Load()
	m.tidy(ctx, spec)
	var list []*jobs.Job
	var names []string
	for _, job := range spec.Jobs {
		if job.Objective != nil {
			list, names = append(list, job), append(names, job.Name)
		}
	}
	if len(list) == 0 {
		return
	}
	s := sight{source: spec.Changes.Source}
	fresh, runs, err := m.cfg.Records.Freshness(ctx, names)
	if err == nil {
		s.fresh = fresh
		s.epoch, s.history, err = m.cfg.Epochs.Epoch(ctx)
	}
	m.warn(ctx, "how fresh values are", err)
	warm := now.Sub(m.warmed) >= warmEvery
	if warm {
		m.warmed = now
	}
	for i, job := range list {
		j := m.of(ctx, job, now)
		if j == nil {
			continue
		}
		if warm {
			m.sample(ctx, j, now)
		}
		o := observation{trouble: "the run records or the epoch cannot be read"}
		if err == nil {
			o = s.of(job, runs[i], j.warmth)
		}
		if j.count(now, o); j.changed || now.Sub(j.written) >= keepEvery {
			m.keep(ctx, j, now)
		}
	}
}

// tidy forgets the accounts of jobs whose objective is gone: time without one must not count once they have one again.
func (m *Meter) tidy(ctx context.Context, spec *jobs.Spec) {
	if m.tidied == spec {
		return
	}
	var gone []string
	for _, job := range spec.Jobs {
		if job.Objective == nil {
			gone = append(gone, job.Name)
		}
	}
	for name := range m.jobs {
		if job, is := spec.Job(name); !is || job.Objective == nil {
			gone = append(gone, name)
			delete(m.jobs, name)
		}
	}
	if len(gone) > 0 {
		err := m.cfg.Accounts.DropBudgets(ctx, gone)
		if m.warn(ctx, "old error budgets", err); err != nil {
			return
		}
	}
	m.tidied = spec
}

// warn says once that something fails, and again only after it has worked.
func (m *Meter) warn(ctx context.Context, what string, err error) {
	if err == nil {
		delete(m.quiet, what)
		return
	}
	if !m.quiet[what] && ctx.Err() == nil {
		m.quiet[what] = true
		m.cfg.Log.Warn("objectives cannot be measured; the time counts as bad unless values are known to be fresh",
			"of", what, jobs.LogErr, err)
	}
}
