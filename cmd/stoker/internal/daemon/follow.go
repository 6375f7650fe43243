package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/stokerhq/stoker/cmd/stoker/internal/check"
	"github.com/stokerhq/stoker/cmd/stoker/internal/reload"
	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/scheduler/changes"
	"github.com/stokerhq/stoker/store/feed"
	"github.com/stokerhq/stoker/store/feed/outbox"
	"github.com/stokerhq/stoker/store/feed/wal"
	"github.com/stokerhq/stoker/store/postgres"
	"github.com/stokerhq/stoker/worker"
)

// follows reports whether this process follows the change feed, or stands by to.
func (d *Daemon) follows() bool {
	return d.has(RoleChanges) && d.current().Changes.Source != jobs.SourceNone
}

// How long the start, and a reload, wait for the change feed.
const (
	startLimit  = 5 * time.Second
	reloadLimit = time.Second
)

// following is the change feed of a process that follows it, or stands by to.
type following struct {
	loop       // the follower, and the protector of its tables: begun anew when the watch lists change
	metrics    *changes.Metrics
	followable *changes.Followable
	started    chan (<-chan struct{}) // each follower's, when it runs
}

// startChanges begins to follow the change feed, and waits until it is followed, but
// not for long: an epoch may begin then, and runs of before would begin again.
func (d *Daemon) startChanges(starting context.Context) (stop func()) {
	if !d.follows() {
		return func() {}
	}
	f := &d.following
	f.metrics, f.followable = changes.NewMetrics(d.metrics), d.followable()
	f.started = make(chan (<-chan struct{}), 1)
	f.run = d.follow
	f.start()
	d.awaitFollowed(starting, startLimit)
	stopWatching := d.watchFeed()
	return func() { f.stop(); stopWatching() }
}

// refollow gives the change feed another spec. A feed that tells what that has to know stays open: its place is kept,
// and nothing is run because of it. Otherwise it is opened anew, as at a start.
func (d *Daemon) refollow(plan *reload.Plan) {
	d.following.followable.Replace(plan.Spec)
	if plan.Feed {
		d.following.restart()
		d.awaitFollowed(context.Background(), reloadLimit)
	}
}

func (d *Daemon) awaitFollowed(ctx context.Context, limit time.Duration) {
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	select {
	case started := <-d.following.started:
		select {
		case <-started:
		case <-limited.Done():
		}
	case <-limited.Done():
	}
}

// follow follows the changes by the spec in use, until ctx ends.
func (d *Daemon) follow(ctx context.Context) {
	s, spec := d.servers, d.current()
	f := changes.New(changes.Config{
		Jobs: spec.Jobs, RunAbove: spec.Changes.RunAbove, Concurrency: d.refreshers(),
		Open: d.openFeed(d.following.followable), Database: feed.Database{Source: s.Source, Equal: d.worker.EqualKeys},
		Fencer:    worker.Exact{Worker: d.worker},
		Refresher: d.worker, Reporter: s.Ledger,
		Epochs: s.Cache, Leases: s.Ledger, Queue: d.enqueuer(), Tasks: s.Inspector(),
		Metrics: d.following.metrics, Freshness: freshness{s}, Tracer: s.Tracer(), Log: d.log,
	})
	select {
	case <-d.following.started: // nobody has waited for the one before
	default:
	}
	d.following.started <- f.Started()
	var wg sync.WaitGroup
	wg.Go(func() { f.Run(ctx) })
	if spec.Changes.Source == jobs.SourceWAL {
		wg.Go(func() { d.protector(spec).Run(ctx) })
	}
	wg.Wait()
}

// watchFeed watches what the feed leaves in Postgres, until the returned function is called.
func (d *Daemon) watchFeed() (stop func()) {
	s := d.servers
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	if d.current().Changes.Source == jobs.SourceWAL && d.current().Changes.Slot == jobs.SlotPermanent {
		wg.Go(func() {
			changes.WatchSlot(ctx, changes.SlotConfig{Name: d.current().Changes.Name, Slots: slots{s.Source},
				Metrics: d.metrics, Log: d.log})
		})
	}
	if d.current().Changes.Source == jobs.SourceOutbox {
		wg.Go(func() {
			changes.WatchHeld(ctx, changes.HeldConfig{Outbox: outboxHeld{s.Source}, Metrics: d.metrics, Log: d.log})
		})
	}
	return func() { cancel(); wg.Wait() }
}

// protector keeps the publication from making the application's statements fail. Every replica has one.
func (d *Daemon) protector(spec *jobs.Spec) *wal.Protector {
	return wal.NewProtector(wal.ProtectorConfig{Source: d.servers.Source, Spec: spec, Log: d.log})
}

// followable opens the feeds of this process.
func (d *Daemon) followable() *changes.Followable {
	open := openWAL
	if d.current().Changes.Source == jobs.SourceOutbox {
		open = d.outboxOpener()
	}
	feedCheck := check.Feed{Source: d.servers.Source, Analyst: d.servers.Analyst}
	return changes.NewFollowable(changes.FollowableConfig{Spec: d.current(), Checker: feedCheck, Metrics: d.metrics,
		Log: d.log,
		Open: func(ctx context.Context, spec *jobs.Spec) (changes.OpenedFeed, feed.Start, error) {
			return open(ctx, d.servers.Source, spec, d.log)
		}})
}

// feedOpener opens a feed of one source.
type feedOpener func(ctx context.Context, source *postgres.Source, spec *jobs.Spec,
	log *slog.Logger) (changes.OpenedFeed, feed.Start, error)

func openWAL(ctx context.Context, source *postgres.Source, spec *jobs.Spec, log *slog.Logger) (changes.OpenedFeed,
	feed.Start, error) {
	return opened(wal.Open(ctx, wal.Config{Source: source, Spec: spec, Log: log}))
}

// outboxOpener registers the metric of its feeds.
func (d *Daemon) outboxOpener() feedOpener {
	skipped := prometheus.NewCounter(prometheus.CounterOpts{Name: "stoker_changes_calls_skipped_total",
		Help: "Calls of stoker_invalidate that named no job, or no key of it."})
	d.metrics.MustRegister(skipped)
	return func(ctx context.Context, source *postgres.Source, spec *jobs.Spec, log *slog.Logger) (changes.OpenedFeed,
		feed.Start, error) {
		return opened(outbox.Open(ctx, outbox.Config{Source: source, Spec: spec, Log: log, Skipped: skipped.Inc}))
	}
}

// opened makes a nil interface of a feed that was not opened.
func opened[F changes.OpenedFeed](f F, start feed.Start, err error) (changes.OpenedFeed, feed.Start, error) {
	if err != nil {
		return nil, start, err
	}
	return f, start, nil
}

// slots reads replication slots.
type slots struct{ source *postgres.Source }

// Slot reads one.
func (s slots) Slot(ctx context.Context, name string) (feed.Slot, error) {
	return wal.ReadSlot(ctx, s.source, name)
}

// outboxHeld looks at the outbox.
type outboxHeld struct{ source *postgres.Source }

// Held reads how large it is, and what keeps its dead rows.
func (o outboxHeld) Held(ctx context.Context) (feed.Held, error) {
	return outbox.ReadHeld(ctx, o.source)
}

// checkLimit is how long the databases may take to be looked at.
const checkLimit = 15 * time.Second

// fitForChanges refuses to start where following changes would lose some, or make
// the application's own statements fail. A database that does not answer is no
// reason: it may be up in a moment.
func (d *Daemon) fitForChanges(ctx context.Context, spec *jobs.Spec) error {
	if !d.follows() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, checkLimit)
	defer cancel()
	if spec.Changes.Source == jobs.SourceWAL {
		// What is wrong with a table may keep us from starting, but it must not keep failing because of us.
		if err := d.protector(spec).Once(ctx); err != nil {
			d.log.Warn("the published tables could not be looked at yet", jobs.LogErr, err)
		}
	}
	problems, err := check.Feed{Source: d.servers.Source, Analyst: d.servers.Analyst}.Check(ctx, spec)
	if err != nil {
		d.log.Warn("what the change feed needs could not be checked yet", jobs.LogErr, err)
		return nil
	}
	if err := feed.Errors(problems); err != nil {
		return fmt.Errorf("changes.source: %s is not possible as things are (`stoker check` tells all): %w",
			spec.Changes.Source, err)
	}
	return nil
}

// openFeed opens the feed with the jobs that can be followed. The columns of the
// watching jobs are described first, also where another process runs them: then a fence
// needs no lock on their tables.
func (d *Daemon) openFeed(followable *changes.Followable) func(context.Context) (changes.Feed, feed.Start, error) {
	return func(ctx context.Context) (changes.Feed, feed.Start, error) {
		for _, job := range d.current().Jobs {
			if len(job.Watch) == 0 {
				continue
			}
			if _, err := d.servers.Source.Describe(ctx, job); err != nil {
				d.log.Warn("the columns of a job that watches tables could not be read; its first fence tries again",
					jobs.LogJob, job.Name, jobs.LogErr, err)
			}
		}
		return followable.OpenFeed(ctx)
	}
}
