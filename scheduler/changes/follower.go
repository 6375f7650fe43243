package changes

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/hibiken/asynq"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/jobs/tracing"
	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/feed"
)

// Feed yields what is committed to the watched tables. It has two implementations: the
// write-ahead log, and an outbox table that triggers fill.
type Feed interface {
	// Next waits for commits and returns those since the last call, in commit order.
	// The end of ctx is not an error: it returns none.
	Next(ctx context.Context) ([]*feed.Commits, error)
	// Done acknowledges all commits up to a position: the feed need not yield them again.
	Done(ctx context.Context, position uint64) error
	// Close ends the feed.
	Close() error
}

// Open opens a feed. The follower calls it again after every error.
type Open func(ctx context.Context) (Feed, feed.Start, error)

// Database reads the primary; store/postgres does.
type Database interface {
	Now(ctx context.Context) (store.Snapshot, error)
	// Resolve adds to a part the keys that its lookups reach, in one snapshot. If a lookup
	// cannot be made, it asks for a run of the part's job instead.
	Resolve(ctx context.Context, part *feed.Part, effect *feed.Effect) error
}

// Fencer fences keys with a snapshot that it takes in the call; a worker does.
type Fencer interface {
	Fence(ctx context.Context, job *jobs.Job, keys []jobs.Key) error
}

// Refresher loads keys that are fenced, and removes those that have no row; a worker does.
// At most jobs.MaxKeys keys are given.
type Refresher interface {
	RefreshFenced(ctx context.Context, job *jobs.Job, keys []jobs.Key) error
}

// Reporter keeps for status and page what refreshes have done; store/ledger does.
type Reporter interface {
	ReportRefreshes(ctx context.Context, job string, r store.RefreshReport) error
}

// Epochs knows which feed has kept the cache fresh; store/cache does.
type Epochs interface {
	Gap(ctx context.Context) error
	Followed(ctx context.Context) (place string, position uint64, err error)
	Follow(ctx context.Context, place string, position uint64) error
}

// Queue puts a task on its queue; *asynq.Client is one.
type Queue interface {
	EnqueueContext(ctx context.Context, t *asynq.Task, opts ...asynq.Option) (*asynq.TaskInfo, error)
}

// Config is what a Follower needs. Every field but Tracer and Freshness is required.
type Config struct {
	Jobs        []*jobs.Job     // of the spec; those without watch are left alone
	RunAbove    int             // keys of a job that may wait; above it the job is run instead
	Concurrency int             // refreshes at a time, of all jobs; at least 1
	Open        Open            // opens the feed
	Database    Database        // the primary that the feed is of
	Fencer      Fencer          // fences keys before they are loaded
	Refresher   Refresher       // loads them
	Reporter    Reporter        // is given what refreshes did, once a second
	Epochs      Epochs          // remembers how far changes were followed
	Leases      Leases          // lets one replica follow
	Queue       Queue           // takes runs
	Tasks       jobs.TaskReader // says what became of them
	Metrics     *Metrics
	Freshness   FreshnessReporter // is given how fresh the jobs with an objective are; nil: nobody asks
	Tracer      *tracing.Tracer   // of changes and refreshes; nil: none is traced
	Log         *slog.Logger
}

// Follower follows a change feed, one replica at a time.
type Follower struct {
	cfg        Config
	refresher  *refresher
	dispatcher *dispatcher
	started    chan struct{} // closed once it is clear how changes are followed
	once       sync.Once
	rounds     uint64 // made so far, over all feeds: the refresher outlives each of them
	metrics    *Metrics
	log        *slog.Logger
}

// New returns a follower of the feed that c.Open opens.
func New(c Config) *Follower {
	c.Metrics.begin(c.Jobs)
	d := newDispatcher(c)
	return &Follower{cfg: c, dispatcher: d, refresher: newRefresher(c, d), started: make(chan struct{}),
		metrics: c.Metrics, log: c.Log}
}

// Started is closed once it is clear how changes are followed: this replica follows them, or
// another does, or they cannot be followed now. Runs that begin earlier may have to begin
// again, because an epoch begins.
func (f *Follower) Started() <-chan struct{} { return f.started }

func (f *Follower) markStarted() { f.once.Do(func() { close(f.started) }) }

// How long a follower that failed waits before it opens the feed again.
const (
	firstPause   = 100 * time.Millisecond
	longestPause = 5 * time.Second
	lasted       = time.Minute // a feed that lasted this long had a good start
)

// Run follows until ctx ends. It never gives up: it logs what fails and begins again. While
// another replica follows, it stands by.
func (f *Follower) Run(ctx context.Context) {
	var wg sync.WaitGroup
	wg.Go(func() { f.dispatcher.run(ctx) })
	wg.Go(func() { f.refresher.run(ctx) })
	defer wg.Wait()
	pause := firstPause
	for ctx.Err() == nil {
		began := time.Now()
		err := f.withLease(ctx, f.follow)
		f.metrics.following.Set(0)
		f.markStarted()
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) > lasted {
			pause = firstPause
		}
		f.log.Warn("changes are not followed; beginning again", jobs.LogErr, err, "pause", pause)
		store.Sleep(ctx, pause/2+rand.N(pause))
		pause = min(2*pause, longestPause)
	}
}

// follow opens the feed and follows it until it fails.
func (f *Follower) follow(ctx context.Context) (err error) {
	opened, start, err := f.cfg.Open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, opened.Close()) }()
	settled, err := f.resume(ctx, start)
	if err != nil {
		return err
	}
	f.metrics.following.Set(1)
	f.markStarted()
	f.log.Info("changes are followed", "feed", start.Place)
	fencers, stop := f.startFencers(ctx)
	defer stop()
	fresh, stopReports := f.startFreshness(ctx)
	defer stopReports()
	s := &stream{
		feed: opened, start: start, settled: settled, pause: firstLook, fencers: fencers,
		database: f.cfg.Database, epochs: f.cfg.Epochs, gap: f.gap, rounds: &f.rounds, limit: f.cfg.RunAbove,
		later: []rounds{f.refresher, f.dispatcher}, places: []places{f.refresher, f.dispatcher}, fresh: fresh,
		metrics: f.metrics,
	}
	for ctx.Err() == nil {
		if err := s.round(ctx); err != nil {
			return err
		}
	}
	return context.Cause(ctx)
}

// startFencers starts a fencer for each job, and returns what stops them.
func (f *Follower) startFencers(ctx context.Context) (fencers map[string]*jobFencer, stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	fencers = make(map[string]*jobFencer)
	for _, job := range f.cfg.Jobs {
		j := newJobFencer(job, f.cfg, f.refresher, f.dispatcher)
		fencers[job.Name] = j
		wg.Go(func() { j.run(ctx) })
	}
	return fencers, func() { cancel(); wg.Wait() }
}

// startFreshness starts to report how fresh values are, and returns what stops that. It is nil where nobody asks.
func (f *Follower) startFreshness(ctx context.Context) (fresh *freshness, stop func()) {
	if fresh = newFreshness(f.cfg); fresh == nil {
		return nil, func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { fresh.run(ctx) })
	return fresh, func() { cancel(); wg.Wait() }
}

// resume begins an epoch unless the feed goes on where changes were followed before: then
// changes may have been missed, and the scheduler runs the watched jobs again.
func (f *Follower) resume(ctx context.Context, start feed.Start) (settled bool, err error) {
	place, position, err := f.cfg.Epochs.Followed(ctx)
	if err != nil {
		return false, err
	}
	if !start.Fresh && start.Place == place && start.Position <= position {
		return true, nil
	}
	f.log.Info("changes were not followed up to now: the watched jobs are run", "feed", start.Place)
	if settled, err = f.awaitSettled(ctx, start); err != nil {
		return false, err
	}
	if err := f.gap(ctx); err != nil {
		return false, err
	}
	return settled, f.cfg.Epochs.Follow(ctx, start.Place, start.Position)
}

func (f *Follower) gap(ctx context.Context) error {
	f.metrics.gaps.Inc()
	if err := f.cfg.Epochs.Gap(ctx); err != nil {
		return fmt.Errorf("begin an epoch, because changes may have been missed: %w", err)
	}
	return nil
}

// How long resume waits for transactions that are in neither the feed nor a run of this
// moment. Longer ones cost another epoch when they end.
const (
	settleLimit = 3 * time.Second
	settleLook  = 20 * time.Millisecond
)

func (f *Follower) awaitSettled(ctx context.Context, start feed.Start) (bool, error) {
	if start.Unsettled == nil {
		return true, nil
	}
	for until := time.Now().Add(settleLimit); ; {
		open, err := start.Unsettled(ctx)
		if err != nil || !open {
			return err == nil, err
		}
		if time.Now().After(until) || !store.Sleep(ctx, settleLook) {
			f.log.Warn("transactions are open that began before changes were followed; when they end, the watched " +
				"jobs are run once more")
			return false, ctx.Err()
		}
	}
}
