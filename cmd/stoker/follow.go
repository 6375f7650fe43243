package main

import (
	"context"
	"sync"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/scheduler/changes"
	"github.com/stokerhq/stoker/store"
)

// follows reports whether this process follows the change feed, or stands by to.
func (d *daemon) follows() bool {
	return d.has(roleChanges) && d.spec.Changes.Source != jobs.SourceNone
}

// startChanges begins to follow the change feed.
func (d *daemon) startChanges() (stop func()) {
	if !d.follows() {
		return func() {}
	}
	s := d.servers
	f := changes.New(d.spec, d.openFeed, s.source, d.worker, s.cache, s.ledger, s.client(), s.inspector(), changes.NewMetrics(d.metrics), d.log)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { f.Run(ctx) })
	if d.spec.Changes.Source == jobs.SourceWAL && d.spec.Changes.Slot == jobs.SlotPermanent {
		wg.Go(func() { d.watchSlot(ctx) })
	}
	return func() { cancel(); wg.Wait() }
}

// openFeed opens the feed that the spec names. What the jobs' columns are is learnt
// first, also where another process runs them: then a fence needs no lock on their
// tables.
func (d *daemon) openFeed(ctx context.Context) (changes.Feed, store.FeedStart, error) {
	for _, job := range d.spec.Jobs {
		if _, err := d.servers.source.Describe(ctx, job); err != nil && len(job.Watch) > 0 {
			d.log.Warn("the columns of a job that watches tables could not be read; its first fence tries again", jobs.LogJob, job.Name, jobs.LogErr, err)
		}
	}
	if d.spec.Changes.Source == jobs.SourceOutbox {
		return opened(d.servers.source.OpenOutbox(ctx, d.spec, d.log))
	}
	return opened(d.servers.source.OpenWAL(ctx, d.spec, d.log))
}

// opened keeps a feed that was not opened from being one that is no nil.
func opened[F changes.Feed](f F, start store.FeedStart, err error) (changes.Feed, store.FeedStart, error) {
	if err != nil {
		return nil, start, err
	}
	return f, start, nil
}
