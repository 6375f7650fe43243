package changes

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store/feed"
)

// Checker checks what the feed of a spec needs. The error is that the servers could
// not be asked.
type Checker interface {
	Check(ctx context.Context, spec *jobs.Spec) ([]feed.Problem, error)
}

// OpenedFeed is a feed that can be ended from outside: Next returns err then.
type OpenedFeed interface {
	Feed
	End(err error)
}

// FollowableConfig is what a Followable needs. Every field is required.
type FollowableConfig struct {
	Spec    *jobs.Spec
	Checker Checker
	// Open opens the feed of a spec, which may have fewer watch lists than Spec.
	Open    func(ctx context.Context, spec *jobs.Spec) (OpenedFeed, feed.Start, error)
	Metrics prometheus.Registerer
	Log     *slog.Logger
}

// Followable opens the feed of those jobs whose changes can be followed. A job whose
// tables or keys queries are not as the feed needs them, after a migration perhaps, is
// left out until they are: the changes of the others are followed nevertheless.
type Followable struct {
	FollowableConfig
	leftOut *prometheus.GaugeVec
}

// NewFollowable registers its metric.
func NewFollowable(cfg FollowableConfig) *Followable {
	f := &Followable{cfg, prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "stoker_changes_left_out",
		Help: "1 for a job whose changes are not followed, because its tables are not as the feed needs them."},
		[]string{"job"})}
	cfg.Metrics.MustRegister(f.leftOut)
	return f
}

// OpenFeed opens the feed.
func (f *Followable) OpenFeed(ctx context.Context) (Feed, feed.Start, error) {
	spec, left, err := f.followable(ctx)
	if err != nil {
		return nil, feed.Start{}, err
	}
	opened, start, err := f.Open(ctx, spec)
	if err != nil {
		return nil, start, err
	}
	f.leftOut.Reset()
	if len(left) == 0 {
		return opened, start, nil
	}
	for _, name := range slices.Sorted(maps.Keys(left)) {
		f.leftOut.WithLabelValues(name).Set(1)
		f.Log.Error("changes of this job are not followed until this is mended; those of the others are", jobs.LogJob,
			name, jobs.LogErr, left[name])
	}
	return f.partFeed(ctx, opened, left), start, nil
}

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
// left out of it. A problem of the feed as a whole is an error, and so are problems
// that leave nothing to follow.
func (f *Followable) followable(ctx context.Context) (*jobs.Spec, map[string]error, error) {
	problems, err := f.Checker.Check(ctx, f.Spec)
	if err != nil {
		return nil, nil, err
	}
	left := make(map[string]error)
	for _, p := range problems {
		if p.Fatal && len(p.Without) == 0 {
			return nil, nil, feed.Errors(problems)
		}
		for _, name := range p.Without {
			left[name] = errors.Join(left[name], errors.New(p.Message))
		}
	}
	part := partSpec(f.Spec, left)
	if len(left) > 0 && len(part.Watched()) == 0 {
		return nil, nil, feed.Errors(problems)
	}
	return part, left, nil
}

// recheckEvery is how often it is checked whether jobs that were left out can be
// followed again.
const recheckEvery = 10 * time.Second

// partFeed is a feed that some jobs are left out of. It ends once others are to be
// left out, or none: then a feed of those is opened. What it had not yielded comes
// again, or is made up by the runs with which that feed begins.
type partFeed struct {
	OpenedFeed
	stop     context.CancelFunc
	checking sync.WaitGroup
}

func (f *Followable) partFeed(ctx context.Context, opened OpenedFeed, left map[string]error) *partFeed {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	p := &partFeed{OpenedFeed: opened, stop: cancel}
	p.checking.Go(func() {
		tick := time.NewTicker(recheckEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			// An error says nothing about these jobs. If the servers are away, the feed
			// itself fails.
			_, now, err := f.followable(ctx)
			if err == nil && !maps.EqualFunc(left, now, func(a, b error) bool { return a.Error() == b.Error() }) {
				opened.End(errors.New("the jobs whose tables cannot be followed are others than before"))
				return
			}
		}
	})
	return p
}

// Close closes the feed.
func (p *partFeed) Close() error {
	p.stop()
	p.checking.Wait()
	return p.OpenedFeed.Close()
}
