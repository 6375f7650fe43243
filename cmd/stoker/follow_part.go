package main

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store/postgres"
)

// partSpec is the spec without the watch lists of these jobs.
func partSpec(spec *jobs.Spec, without map[string]error) *jobs.Spec {
	part := *spec
	part.Jobs = slices.Clone(spec.Jobs)
	for i, job := range part.Jobs {
		if without[job.Name] != nil {
			unwatched := *job
			unwatched.Watch = nil
			part.Jobs[i] = &unwatched
		}
	}
	return &part
}

// followable returns the spec that can be followed as things are, and why jobs are
// left out of it: their tables or queries for keys are not what the feed needs,
// after a migration perhaps. Changes of all others are to be followed nevertheless.
// What stands against the feed as a whole, or leaves nothing of it, is an error.
func (d *daemon) followable(ctx context.Context) (*jobs.Spec, map[string]error, error) {
	problems, err := d.servers.source.CheckChanges(ctx, d.spec)
	if err != nil {
		return nil, nil, err
	}
	left := make(map[string]error)
	for _, p := range problems {
		if p.Fatal && len(p.Without) == 0 {
			return nil, nil, postgres.ChangeErrors(problems)
		}
		for _, name := range p.Without {
			left[name] = errors.Join(left[name], errors.New(p.Message))
		}
	}
	part := partSpec(d.spec, left)
	if len(left) > 0 && len(part.Watched()) == 0 {
		return nil, nil, postgres.ChangeErrors(problems)
	}
	return part, left, nil
}

// lookAgainEvery is how often it is looked whether jobs that were left out can be
// followed again.
const lookAgainEvery = 10 * time.Second

// partFeed is a feed that some jobs are left out of. It ends once others are to be
// left out, or none: then a feed of those is opened. What it had not yielded comes
// again, or is made up by the runs of that feed's begin.
type partFeed struct {
	openedFeed
	stop    context.CancelFunc
	looking sync.WaitGroup
}

func (d *daemon) partFeed(ctx context.Context, f openedFeed, left map[string]error) *partFeed {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	p := &partFeed{openedFeed: f, stop: cancel}
	p.looking.Go(func() {
		tick := time.NewTicker(lookAgainEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			// An error is not of these jobs: the feed itself fails of it, if it must.
			_, now, err := d.followable(ctx)
			if err == nil && !maps.EqualFunc(left, now, func(a, b error) bool { return a.Error() == b.Error() }) {
				f.End(errors.New("the jobs whose tables cannot be followed are others than before"))
				return
			}
		}
	})
	return p
}

// Close closes the feed.
func (p *partFeed) Close() error {
	p.stop()
	p.looking.Wait()
	return p.openedFeed.Close()
}
