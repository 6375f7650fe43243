package daemon

import (
	"context"
	"sync"
	"time"

	"github.com/stokerhq/stoker/cmd/stoker/internal/connect"
	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/scheduler/changes"
	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/web/notify"
	"github.com/stokerhq/stoker/web/objective"
	"github.com/stokerhq/stoker/web/reads"
	"github.com/stokerhq/stoker/web/state"
)

// notifyInterval is how often the state is looked at where something is to be notified.
const notifyInterval = 5 * time.Second

// startState exports the state of the jobs, notifies of what needs a person and measures objectives, while this process
// is the one replica that does.
func (d *Daemon) startState() (stop func()) {
	d.notifier = notify.New(notify.Config{Receivers: d.current().Notify, Marks: d.servers.Ledger,
		Following: d.isFollowed, SpecRefused: d.specRefused,
		Version: d.version, Log: d.log})
	c := state.Config{Spec: d.current(), Ledger: d.servers.Ledger, Sampler: d.servers.Sampler(),
		Queues: d.servers.Queues(), Memory: d.servers.Cache.Memory,
		Reads: d.servers.Ledger.Reads, Leases: d.servers.Ledger,
		Observe: d.notifier.Observe,
		Log:     d.log}
	if len(d.current().Notify) > 0 {
		c.Interval = notifyInterval
	}
	d.exporter = state.New(c)
	d.metrics.MustRegister(d.exporter)
	d.meter = objective.New(objective.Config{Spec: d.current(), Records: d.servers.Ledger, Epochs: d.servers.Cache,
		Sampler: d.servers.Sampler(), Accounts: d.servers.Ledger, Leases: d.servers.Ledger, Log: d.log})
	reading := reads.New(reads.Config{Nodes: d.servers.Cache.Nodes, Accounts: d.servers.Ledger,
		Leases: d.servers.Ledger, Unknown: d.servers.ReadsUnknown(), Log: d.log})
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { reading.Run(ctx) })
	wg.Go(func() { d.exporter.Run(ctx) })
	wg.Go(func() { d.meter.Run(ctx) })
	return func() { cancel(); wg.Wait(); d.notifier.Close() }
}

// freshness keeps what the follower says of how fresh values are, together with the epoch. That is read after the
// follower has begun its own, if it had to: a report can be of an earlier epoch, and never of a later one, than what it
// says holds for.
type freshness struct{ servers *connect.Servers }

// ReportFreshness implements changes.FreshnessReporter.
func (f freshness) ReportFreshness(ctx context.Context, shown map[string]time.Time) error {
	epoch, _, err := f.servers.Cache.Epoch(ctx)
	if err != nil {
		return err
	}
	return f.servers.Ledger.ReportFreshness(ctx, store.Freshness{Epoch: epoch, Shown: shown})
}

// isFollowed reports whether any replica follows the changes, or none is to.
func (d *Daemon) isFollowed(ctx context.Context) (bool, error) {
	if spec := d.current(); len(spec.Watched()) == 0 || spec.Changes.Source == jobs.SourceNone {
		return true, nil
	}
	holder, _, err := d.servers.Ledger.Holder(ctx, changes.LeaseName)
	return holder != "", err
}
