package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/scheduler/changes"
	"github.com/stokerhq/stoker/store/feed"
	"github.com/stokerhq/stoker/store/postgres"
)

// follows reports whether this process follows the change feed, or stands by to.
func (d *daemon) follows() bool {
	return d.has(roleChanges) && d.spec.Changes.Source != jobs.SourceNone
}

// settleLimit is how long the start waits for the change feed.
const settleLimit = 5 * time.Second

// startChanges begins to follow the change feed, and waits until it is followed, but
// not for long: an epoch may begin then, and runs of before would begin again.
func (d *daemon) startChanges(starting context.Context) (stop func()) {
	if !d.follows() {
		return func() {}
	}
	s := d.servers
	d.feedMetrics()
	f := changes.New(changes.Config{
		Jobs: d.spec.Jobs, RunAbove: d.spec.Changes.RunAbove, Concurrency: d.refreshers(),
		Open: d.openFeed, Database: s.source, Fencer: d.worker, Refresher: d.worker, Reporter: s.ledger,
		Epochs: s.cache, Leases: s.ledger, Queue: s.client(), Tasks: s.inspector(),
		Metrics: changes.NewMetrics(d.metrics), Log: d.log,
	})
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { f.Run(ctx) })
	if d.spec.Changes.Source == jobs.SourceWAL && d.spec.Changes.Slot == jobs.SlotPermanent {
		wg.Go(func() { d.watchSlot(ctx) })
	}
	select {
	case <-f.Started():
	case <-starting.Done():
	case <-time.After(settleLimit):
	}
	return func() { cancel(); wg.Wait() }
}

// feedMetrics registers what this process knows of its feeds.
func (d *daemon) feedMetrics() {
	d.leftOut = prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "stoker_changes_left_out", Help: "1 for a job whose changes are not followed, because its tables are not as the feed needs them."}, []string{"job"})
	d.metrics.MustRegister(d.leftOut)
	if d.spec.Changes.Source == jobs.SourceOutbox {
		d.metrics.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "stoker_changes_calls_skipped_total",
			Help: "Calls of stoker_invalidate that named no job, or no key of it."}, func() float64 { return float64(d.servers.source.Refused()) }))
	}
}

// checkLimit is how long the databases may take to be looked at.
const checkLimit = 15 * time.Second

// fitForChanges refuses to start where following changes would lose some, or make
// the application's own statements fail. A database that does not answer is no
// reason: it may be up in a moment.
func (d *daemon) fitForChanges(ctx context.Context) error {
	if !d.follows() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, checkLimit)
	defer cancel()
	problems, err := d.servers.source.CheckChanges(ctx, d.spec)
	if err != nil {
		d.log.Warn("what the change feed needs could not be checked yet", jobs.LogErr, err)
		return nil
	}
	if err := postgres.ChangeErrors(problems); err != nil {
		return fmt.Errorf("changes.source: %s is not possible as things are (`stoker check` tells all): %w", d.spec.Changes.Source, err)
	}
	return nil
}

// openFeed opens the feed that the spec names, if it does no harm. What the jobs'
// columns are is learnt first, also where another process runs them: then a fence
// needs no lock on their tables.
func (d *daemon) openFeed(ctx context.Context) (changes.Feed, feed.Start, error) {
	source := d.servers.source
	for _, job := range d.spec.Jobs {
		if len(job.Watch) == 0 {
			continue
		}
		if _, err := source.Describe(ctx, job); err != nil {
			d.log.Warn("the columns of a job that watches tables could not be read; its first fence tries again", jobs.LogJob, job.Name, jobs.LogErr, err)
		}
	}
	spec, left, err := d.followable(ctx)
	if err != nil {
		return nil, feed.Start{}, err
	}
	feed, start, err := d.openPart(ctx, spec)
	if err != nil {
		return nil, start, err
	}
	d.leftOut.Reset()
	if len(left) == 0 {
		return feed, start, nil
	}
	for _, name := range slices.Sorted(maps.Keys(left)) {
		d.leftOut.WithLabelValues(name).Set(1)
		d.log.Error("changes of this job are not followed until this is mended; those of the others are", jobs.LogJob, name, jobs.LogErr, left[name])
	}
	return d.partFeed(ctx, feed, left), start, nil
}

func (d *daemon) openPart(ctx context.Context, spec *jobs.Spec) (openedFeed, feed.Start, error) {
	if spec.Changes.Source == jobs.SourceOutbox {
		return opened(d.servers.source.OpenOutbox(ctx, spec, d.log))
	}
	return opened(d.servers.source.OpenWAL(ctx, spec, d.log))
}

// openedFeed is a feed that can be ended from outside: Next returns err then.
type openedFeed interface {
	changes.Feed
	End(err error)
}

// opened keeps a feed that was not opened from being one that is no nil.
func opened[F openedFeed](f F, start feed.Start, err error) (openedFeed, feed.Start, error) {
	if err != nil {
		return nil, start, err
	}
	return f, start, nil
}
