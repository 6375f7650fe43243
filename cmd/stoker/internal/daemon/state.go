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
	notifier := notify.New(notify.Config{Receivers: d.spec.Notify, Marks: d.servers.Ledger, Following: d.following(),
		Version: d.version, Log: d.log})
	c := state.Config{Spec: d.spec, Ledger: d.servers.Ledger, Sampler: d.servers.Sampler(),
		Queues: d.servers.Queues(), Memory: d.servers.Cache.Memory, Leases: d.servers.Ledger,
		Observe: notifier.Observe,
		Log:     d.log}
	if len(d.spec.Notify) > 0 {
		c.Interval = notifyInterval
	}
	exporter := state.New(c)
	d.metrics.MustRegister(exporter)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { exporter.Run(ctx) })
	return func() { cancel(); wg.Wait(); notifier.Close() }
}

// following reports whether any replica follows the changes; nil where the spec follows none.
func (d *Daemon) following() func(context.Context) (bool, error) {
	if len(d.spec.Watched()) == 0 || d.spec.Changes.Source == jobs.SourceNone {
		return nil
	}
	return func(ctx context.Context) (bool, error) {
		holder, _, err := d.servers.Ledger.Holder(ctx, changes.LeaseName)
		return holder != "", err
	}
}
