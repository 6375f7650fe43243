package throttle

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/jobs/budget"
	"github.com/stokerhq/stoker/store"
)

// Ledger is where runs of all daemons find each other. *ledger.Ledger is one.
type Ledger interface {
	TakePart(ctx context.Context, id string, ttl time.Duration) (runs int, share string, err error)
	EndPart(ctx context.Context, id string) error
}

// Pressure says why the database must not be asked for more now; "" if it may. *pressure.Watch is one.
type Pressure interface {
	Reason(ctx context.Context) (reason string, kind string, err error)
	Close()
}

// Config is what a Throttle needs.
type Config struct {
	Budget   func() budget.Budget // of the spec in use
	Ledger   Ledger
	Pressure func(budget.Budget) Pressure // opened while runs go on, if the budget watches
	Metrics  *Metrics
	Log      *slog.Logger
}

// byShare is why runs wait, in metrics, when they have had their share.
const byShare = "share"

const (
	lookEvery = 100 * time.Millisecond
	partEvery = time.Second
	partLife  = 5 * time.Second // of a run that nobody renews: its worker was killed
	slice     = 20 * time.Millisecond
)

// Throttle is the throttle of one process. It is safe for concurrent use.
type Throttle struct {
	c Config

	mu    sync.Mutex
	parts map[string]bool // runs of this process
	stop  func()          // ends what looks; nil: nothing does

	held  atomic.Pointer[hold] // nil: nothing forbids to go on
	share atomic.Uint64        // of each run, in millionths; 0: no limit
	runs  atomic.Int64         // that take part, of all daemons
}

// hold is a reason to wait.
type hold struct {
	reason string
	kind   string
}

// New returns a throttle. It does nothing while no run goes on.
func New(c Config) *Throttle { return &Throttle{c: c, parts: make(map[string]bool)} }

// enter has a run take part, until the returned function is called.
func (t *Throttle) enter(ctx context.Context, id string) (leave func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.parts[id] = true
	t.renew(ctx, []string{id})
	if t.stop == nil {
		t.stop = t.watch(context.WithoutCancel(ctx))
	}
	return func() {
		t.mu.Lock()
		delete(t.parts, id)
		stop := t.stop
		if len(t.parts) > 0 {
			stop = nil
		} else {
			t.stop = nil
		}
		t.mu.Unlock()
		if stop != nil {
			stop()
		}
		limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), partEvery)
		defer cancel()
		if err := t.c.Ledger.EndPart(limited, id); err != nil {
			t.c.Log.Debug("the run counts for some seconds more", jobs.LogErr, err)
		}
	}
}

// watch looks at the database and renews the parts until the returned function is called.
func (t *Throttle) watch(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var all sync.WaitGroup
	all.Go(func() {
		for store.Sleep(ctx, partEvery) {
			t.mu.Lock()
			ids := make([]string, 0, len(t.parts))
			for id := range t.parts {
				ids = append(ids, id)
			}
			t.mu.Unlock()
			t.renew(ctx, ids)
		}
	})
	if bounds := t.c.Budget(); !bounds.Watches() {
		t.held.Store(nil)
	} else {
		pressure := t.c.Pressure(bounds)
		t.sense(ctx, pressure) // before the first row
		all.Go(func() {
			defer pressure.Close()
			for store.Sleep(ctx, lookEvery) {
				t.sense(ctx, pressure)
			}
		})
	}
	return func() {
		cancel()
		all.Wait()
	}
}

// sense notes whether something forbids to go on. A look that fails forbids it: whoever asked for the guard wants to
// be safe.
func (t *Throttle) sense(ctx context.Context, pressure Pressure) {
	limited, cancel := context.WithTimeout(ctx, partEvery)
	defer cancel()
	reason, kind, err := pressure.Reason(limited)
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		reason = fmt.Sprintf("whether the database can bear it is not known: %v", err)
	}
	before := t.held.Load()
	if reason == "" {
		t.held.Store(nil)
		if before != nil {
			t.c.Log.Info("runs go on", "after", before.reason)
		}
		return
	}
	t.held.Store(&hold{reason, kind})
	if before == nil {
		t.c.Log.Warn("runs wait", "reason", reason)
	}
}

// renew has runs of this process count for some seconds more, and takes over what all daemons share. Without Redis the
// last share goes on.
func (t *Throttle) renew(ctx context.Context, ids []string) {
	limited, cancel := context.WithTimeout(ctx, partEvery)
	defer cancel()
	share, runs := t.c.Budget().Share, int(t.runs.Load())
	for _, id := range ids {
		n, set, err := t.c.Ledger.TakePart(limited, id, partLife)
		if err != nil {
			t.c.Log.Debug("the budget is shared as before", jobs.LogErr, err) // whatever else uses Redis warns
			n, set = runs, ""
		}
		runs = max(n, 1)
		if set != "" {
			if share, err = budget.ParseShare(set); err != nil {
				share = t.c.Budget().Share // a newer version has set what this one does not know
			}
		}
	}
	t.runs.Store(int64(max(runs, 1)))
	t.share.Store(uint64(share * 1e6 / float64(max(runs, 1))))
}

// ofEach is the share of each run, and why; 0: no limit.
func (t *Throttle) ofEach() (share float64, reason string) {
	millionths, runs := t.share.Load(), t.runs.Load()
	if millionths == 0 {
		return 0, ""
	}
	share = float64(millionths) / 1e6
	total := budget.ShareText(float64(int64(share*float64(runs)*1e4+0.5)) / 1e4)
	return share, fmt.Sprintf("postgres.budget leaves %s of a connection's time to %d runs", total, runs)
}
