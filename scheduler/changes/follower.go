package changes

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
)

// Source reads the primary; store/postgres does.
type Source interface {
	Now(ctx context.Context) (store.Snapshot, error)
	// Resolve adds to a part the keys that its lookups reach, in one snapshot. A
	// lookup that cannot be made makes the part whole.
	Resolve(ctx context.Context, part *jobs.Part, effect *jobs.Effect) error
}

// Fencer fences keys with a snapshot that it takes in the call; a worker does.
type Fencer interface {
	Fence(ctx context.Context, job *jobs.Job, keys []jobs.Key) error
}

// Epochs knows which feed has kept the cache fresh; store/cache does.
type Epochs interface {
	Gap(ctx context.Context) error
	Followed(ctx context.Context) (place string, position uint64, err error)
	Follow(ctx context.Context, place string, position uint64) error
}

// Leases lets one replica follow; store/cache has them.
type Leases interface {
	Lease(ctx context.Context, name, holder string, ttl time.Duration) (bool, error)
	Renew(ctx context.Context, name, holder string, ttl time.Duration) (bool, error)
	Release(ctx context.Context, name, holder string) error
}

// Follower follows a change feed, one replica at a time.
type Follower struct {
	open    Open
	source  Source
	fencer  Fencer
	epochs  Epochs
	leases  Leases
	desk    *desk
	decided chan struct{} // closed by decide
	once    sync.Once
	jobs    []*jobs.Job
	limit   int    // keys of a job before it is run instead
	rounds  uint64 // that were ever made; over all feeds, for the desk outlives them
	metrics *Metrics
	log     *slog.Logger
}

// New returns a follower of the feed that open opens.
func New(spec *jobs.Spec, open Open, s Source, f Fencer, e Epochs, l Leases, q Queue, t Tasks, m *Metrics, log *slog.Logger) *Follower {
	m.begin(spec.Jobs)
	return &Follower{open: open, source: s, fencer: f, epochs: e, leases: l, jobs: spec.Jobs, limit: spec.Changes.RunAbove,
		decided: make(chan struct{}), desk: newDesk(spec.Changes.RunAbove, q, t, m, log), metrics: m, log: log}
}

// Settled is closed once it is clear how changes are followed: they are, or another
// replica follows them, or they cannot be followed now. Runs that are begun before
// may have to begin again, because an epoch begins.
func (f *Follower) Settled() <-chan struct{} { return f.decided }

func (f *Follower) decide() { f.once.Do(func() { close(f.decided) }) }

// How long a follower that failed waits before it opens the feed again.
const (
	firstPause   = 100 * time.Millisecond
	longestPause = 5 * time.Second
	lasted       = time.Minute // a feed that lasted this long was no bad start
)

// Run follows until ctx ends. It never gives up: what fails is logged and begun
// again. While another replica follows, it stands by.
func (f *Follower) Run(ctx context.Context) {
	var wg sync.WaitGroup
	wg.Go(func() { f.desk.run(ctx) })
	defer wg.Wait()
	pause := firstPause
	for ctx.Err() == nil {
		began := time.Now()
		err := f.hold(ctx, f.follow)
		f.metrics.following.Set(0)
		f.decide()
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) > lasted {
			pause = firstPause
		}
		f.log.Warn("changes are not followed; beginning again", jobs.LogErr, err, "pause", pause)
		sleep(ctx, pause/2+rand.N(pause))
		pause = min(2*pause, longestPause)
	}
}

// follow opens the feed and follows it until it fails.
func (f *Follower) follow(ctx context.Context) (err error) {
	feed, start, err := f.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, feed.Close()) }()
	settled, err := f.resume(ctx, start)
	if err != nil {
		return err
	}
	f.metrics.following.Set(1)
	f.decide()
	f.log.Info("changes are followed", "feed", start.Place)
	s := &stream{Follower: f, feed: feed, start: start, lanes: make(map[string]*lane), settled: settled, pause: firstLook}
	defer s.openLanes(ctx)()
	for ctx.Err() == nil {
		if err := s.round(ctx); err != nil {
			return err
		}
	}
	return context.Cause(ctx)
}

// openLanes opens a lane for each job, and returns what closes them.
func (s *stream) openLanes(ctx context.Context) (closeAll func()) {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	for _, job := range s.jobs {
		l := s.newLane(job)
		s.lanes[job.Name] = l
		wg.Go(func() { l.run(ctx) })
	}
	return func() { cancel(); wg.Wait() }
}

// resume opens an epoch if the feed does not go on where we know that it was
// followed: then changes may have been missed, and the scheduler runs the watched
// jobs again.
func (f *Follower) resume(ctx context.Context, start store.FeedStart) (settled bool, err error) {
	place, position, err := f.epochs.Followed(ctx)
	if err != nil {
		return false, err
	}
	if !start.Fresh && start.Place == place && start.Position <= position {
		return true, nil
	}
	f.log.Info("changes were not followed up to now: the watched jobs are run", "feed", start.Place)
	if settled, err = f.settledIn(ctx, start); err != nil {
		return false, err
	}
	if err := f.gap(ctx); err != nil {
		return false, err
	}
	return settled, f.epochs.Follow(ctx, start.Place, start.Position)
}

func (f *Follower) gap(ctx context.Context) error {
	f.metrics.gaps.Inc()
	if err := f.epochs.Gap(ctx); err != nil {
		return fmt.Errorf("begin an epoch, because changes may have been missed: %w", err)
	}
	return nil
}

// How long transactions are waited for that are in neither the feed nor a run of
// this moment. Those that take longer are seen to later, by another epoch.
const (
	settleLimit = 3 * time.Second
	settleLook  = 20 * time.Millisecond
)

func (f *Follower) settledIn(ctx context.Context, start store.FeedStart) (bool, error) {
	if start.Unsettled == nil {
		return true, nil
	}
	for until := time.Now().Add(settleLimit); ; {
		open, err := start.Unsettled(ctx)
		if err != nil || !open {
			return err == nil, err
		}
		if time.Now().After(until) || !sleep(ctx, settleLook) {
			f.log.Warn("transactions are open that were written to before changes were followed; the watched jobs are run once more when they are over")
			return false, ctx.Err()
		}
	}
}

func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
