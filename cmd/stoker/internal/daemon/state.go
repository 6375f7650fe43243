package daemon

import (
	"context"
	"sync"
	"time"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/scheduler/changes"
	"github.com/stokerhq/stoker/web/notify"
	"github.com/stokerhq/stoker/web/state"
)

// notifyInterval is how often the state is looked at where something is to be notified.
const notifyInterval = 5 * time.Second

// startState exports the state of the jobs and notifies of what needs a person, while this process is the one
// replica that does.
func (d *Daemon) startState() (stop func()) {
	d.notifier = notify.New(notify.Config{Receivers: d.current().Notify, Marks: d.servers.Ledger,
		Following: d.isFollowed, SpecRefused: d.specRefused,
		Version: d.version, Log: d.log})
	c := state.Config{Spec: d.current(), Ledger: d.servers.Ledger, Sampler: d.servers.Sampler(),
		Queues: d.servers.Queues(), Memory: d.servers.Cache.Memory, Leases: d.servers.Ledger,
		Observe: d.notifier.Observe,
		Log:     d.log}
	if len(d.current().Notify) > 0 {
		c.Interval = notifyInterval
	}
	d.exporter = state.New(c)
	d.metrics.MustRegister(d.exporter)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { d.exporter.Run(ctx) })
	return func() { cancel(); wg.Wait(); d.notifier.Close() }
}

// isFollowed reports whether any replica follows the changes, or none is to.
func (d *Daemon) isFollowed(ctx context.Context) (bool, error) {
	if spec := d.current(); len(spec.Watched()) == 0 || spec.Changes.Source == jobs.SourceNone {
		return true, nil
	}
	holder, _, err := d.servers.Ledger.Holder(ctx, changes.LeaseName)
	return holder != "", err
}
