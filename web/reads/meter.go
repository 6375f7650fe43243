// Package reads measures how often the readers of the cache find their key.
//
//	INFO of each server ──► what all have looked up ─┐
//	a moment later:                                  ├─► the readers' part ──► ledger ──► metrics, page, API, status
//	Stoker's own lookups, of all its processes ──────┘
//
// One replica measures at a time. What Stoker looks up is told a second after it was done, so that it is asked after
// the servers: it is then never less than what is in their count. What it is too much at once is given back the next
// time.
package reads

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"time"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/cache/info"
)

// Config is what a Meter needs. Every field but Unknown, Every and Settle is required.
type Config struct {
	Nodes    func(context.Context) ([]info.Node, error) // what the servers of the cache say
	Accounts Accounts
	Leases   Leases
	Log      *slog.Logger
	Unknown  string        // why the readers' part cannot be known here; empty: it can
	Every    time.Duration // between two looks. Default 5 s
	Settle   time.Duration // between the servers and Stoker's own lookups. Default 1.5 s
}

// Accounts are kept where all replicas find them; store/ledger does.
type Accounts interface {
	OpenLookups(ctx context.Context) (closed bool, err error)
	Lookups(ctx context.Context) (store.Lookups, error)
	Reads(ctx context.Context) (store.Reads, error)
	KeepReads(ctx context.Context, r store.Reads) error
}

// Leases let one replica measure; store/ledger has them.
type Leases interface {
	Renew(ctx context.Context, name, holder string, ttl time.Duration) (bool, error)
	Release(ctx context.Context, name, holder string) error
}

const (
	leaseName     = "#reads" // which no job can have
	leaseTTL      = 15 * time.Second
	defaultEvery  = 5 * time.Second
	defaultSettle = 1500 * time.Millisecond
	lookLimit     = 5 * time.Second
	blindFor      = time.Minute // how long a process that was blind counts
)

// Meter measures, while it is the one replica that does.
type Meter struct {
	cfg    Config
	holder string
	base   *base // of the last look; nil: there was none
	said   string
}

// New returns a meter.
func New(c Config) *Meter {
	if c.Every <= 0 {
		c.Every = defaultEvery
	}
	if c.Settle <= 0 {
		c.Settle = defaultSettle
	}
	return &Meter{cfg: c, holder: rand.Text()}
}

// Run measures until ctx ends.
func (m *Meter) Run(ctx context.Context) {
	defer m.release(ctx)
	step := time.NewTicker(m.cfg.Every)
	defer step.Stop()
	for {
		held, err := m.cfg.Leases.Renew(ctx, leaseName, m.holder, leaseTTL)
		if err != nil || !held {
			m.base = nil // what happens until it is ours again is not ours to count
		} else {
			err = m.measure(ctx)
		}
		m.warn(ctx, err)
		select {
		case <-ctx.Done():
			return
		case <-step.C:
		}
	}
}

func (m *Meter) release(ctx context.Context) {
	ctx, cancel := store.Afterwards(ctx, time.Second)
	defer cancel()
	if err := m.cfg.Leases.Release(ctx, leaseName, m.holder); err != nil {
		m.cfg.Log.Debug("the lease of who counts reads was not given back; it lapses by itself", jobs.LogErr, err)
	}
}

// warn logs what goes wrong, once until it is something else.
func (m *Meter) warn(ctx context.Context, err error) {
	if err == nil || ctx.Err() != nil {
		m.said = ""
		return
	}
	if text := err.Error(); text != m.said {
		m.said = text
		m.cfg.Log.Warn("how often readers find their key cannot be measured now", jobs.LogErr, err)
	}
}

// measure counts what was read since the last time.
func (m *Meter) measure(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, lookLimit)
	defer cancel()
	kept, err := m.cfg.Accounts.Reads(ctx)
	if err != nil {
		return err
	}
	now := time.Now()
	if kept.Unknown = m.cfg.Unknown; kept.Unknown != "" {
		return m.keep(ctx, kept, now)
	}
	closed, err := m.cfg.Accounts.OpenLookups(ctx)
	if closed || err != nil { // what Stoker has looked up before was not counted: the next look is the first one
		m.base = nil
		return err
	}
	nodes, err := m.cfg.Nodes(ctx)
	if errors.Is(err, info.ErrNoInfo) {
		m.base, kept.Unknown = nil, err.Error()
		return m.keep(ctx, kept, now)
	}
	if err != nil {
		m.base = nil
		return err
	}
	select {
	case <-time.After(m.cfg.Settle):
	case <-ctx.Done():
		return nil
	}
	own, err := m.cfg.Accounts.Lookups(ctx)
	if err != nil {
		m.base = nil
		return err
	}
	if now.Sub(own.Blind) < blindFor {
		m.base = nil
		kept.Unknown = "what Stoker itself looks up in this Redis is not known: allow its user INFO in a transaction"
		return m.keep(ctx, kept, now)
	}
	if kept.Since.IsZero() {
		kept.Since = now.UTC()
	}
	next := newBase(nodes, own)
	if m.base != nil && m.base.same(next) {
		hits, misses := m.base.reads(next)
		kept.Count(now, hits, misses)
		kept.OwnHits += own.Hits - m.base.own.Hits
		kept.OwnMisses += own.Misses - m.base.own.Misses
	}
	m.base = next
	return m.keep(ctx, kept, now)
}

func (m *Meter) keep(ctx context.Context, r store.Reads, now time.Time) error {
	r.At = now.UTC()
	return m.cfg.Accounts.KeepReads(ctx, r)
}
