package changes

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
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
	leftOut  *prometheus.GaugeVec
	now      atomic.Pointer[jobs.Spec] // Spec, or what has replaced it
	replaced chan struct{}             // holds a token when now is another spec
}

// NewFollowable registers its metric.
func NewFollowable(cfg FollowableConfig) *Followable {
	f := &Followable{FollowableConfig: cfg, replaced: make(chan struct{}, 1)}
	f.leftOut = prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "stoker_changes_left_out",
		Help: "1 for a job whose changes are not followed, because its tables are not as the feed needs them."},
		[]string{"job"})
	f.now.Store(cfg.Spec)
	cfg.Metrics.MustRegister(f.leftOut)
	return f
}

// Replace takes another spec for the same feed: the same watch lists of the same jobs. Other queries may need other
// keys, so a feed that is open is looked at again at once, and ends if it does not serve them as well.
func (f *Followable) Replace(spec *jobs.Spec) {
	f.now.Store(spec)
	select {
	case f.replaced <- struct{}{}:
	default:
	}
}

// OpenFeed opens the feed.
func (f *Followable) OpenFeed(ctx context.Context) (Feed, feed.Start, error) {
	now, err := f.followable(ctx)
	if err != nil {
		return nil, feed.Start{}, err
	}
	spec := f.now.Load()
	opened, start, err := f.Open(ctx, now.spec(spec))
	if err != nil {
		return nil, start, err
	}
	start.LeftOut = make(map[string]bool)
	f.leftOut.Reset()
	for _, name := range slices.Sorted(maps.Keys(now.left)) {
		start.LeftOut[name] = true
		f.leftOut.WithLabelValues(name).Set(1)
		f.Log.Error("changes of this job are not followed until this is mended; those of the others are", jobs.LogJob,
			name, jobs.LogErr, now.left[name])
	}
	for _, w := range slices.SortedFunc(maps.Keys(now.whole), watchID.compare) {
		f.Log.Warn("changes of this table run the job, because its rows can matter to keys that they do not name",
			jobs.LogJob, w.job, "table", w.table(spec), "reason", now.whole[w])
	}
	if len(now.left) == 0 && !f.keyed() {
		return opened, start, nil
	}
	return f.partFeed(ctx, opened, now), start, nil
}

// followed is what of a spec can be followed as things are.
type followed struct {
	left  map[string]error   // :: job that is left out -> why
	whole map[watchID]string // :: watch entry whose changes run the job, though it names keys -> why
}

// watchID is one watch entry of a job.
type watchID struct {
	job string
	at  int
}

func (w watchID) compare(other watchID) int {
	return cmp.Or(strings.Compare(w.job, other.job), w.at-other.at)
}

func (w watchID) table(spec *jobs.Spec) string {
	if job, ok := spec.Job(w.job); ok && w.at < len(job.Watch) {
		return job.Watch[w.at].Table
	}
	return ""
}

// same reports whether a feed that was opened for f serves as well now. What runs the job is never wrong.
func (f followed) same(now followed) bool {
	for w := range now.whole {
		if _, was := f.whole[w]; !was {
			return false
		}
	}
	return maps.EqualFunc(f.left, now.left, func(a, b error) bool { return a.Error() == b.Error() })
}

// spec is the spec with the watch lists that can be followed.
func (f followed) spec(spec *jobs.Spec) *jobs.Spec {
	part := *spec
	part.Jobs = slices.Clone(spec.Jobs)
	for i, job := range part.Jobs {
		changed := *job
		changed.Watch = slices.Clone(job.Watch)
		differs := false
		for at, w := range job.Watch {
			if why, whole := f.whole[watchID{job.Name, at}]; whole {
				changed.Watch[at], differs = jobs.Watch{Table: w.Table, Whole: why}, true
			}
		}
		if f.left[job.Name] != nil {
			changed.Watch, differs = nil, true
		}
		if differs {
			part.Jobs[i] = &changed
		}
	}
	return &part
}

// keyed reports whether a watch entry names keys: then what its query depends on may change.
func (f *Followable) keyed() bool {
	return slices.ContainsFunc(f.now.Load().Jobs, func(job *jobs.Job) bool {
		return slices.ContainsFunc(job.Watch, func(w jobs.Watch) bool { return w.Key != nil || w.Keys != "" })
	})
}

// followable returns what can be followed as things are. A problem of the feed as a whole is an error, and so are
// problems that leave nothing to follow.
func (f *Followable) followable(ctx context.Context) (followed, error) {
	now := followed{left: make(map[string]error), whole: make(map[watchID]string)}
	spec := f.now.Load()
	problems, err := f.Checker.Check(ctx, spec)
	if err != nil {
		return now, err
	}
	for _, p := range problems {
		if p.Fatal && len(p.Without) == 0 {
			return now, feed.Errors(problems)
		}
		for _, name := range p.Without {
			now.left[name] = errors.Join(now.left[name], errors.New(p.Message))
		}
		for at, why := range p.Whole {
			now.whole[watchID{p.Job, at}] = why
		}
	}
	if len(now.left) > 0 && len(now.spec(spec).Watched()) == 0 {
		return now, feed.Errors(problems)
	}
	return now, nil
}

// How often it is checked whether jobs that were left out can be followed again, and whether changed views and
// functions have made the rows of a table matter to other keys.
const (
	recheckEvery    = 10 * time.Second
	recheckAllEvery = time.Minute
)

// partFeed is a feed that some jobs may be left out of. It ends once others are to be
// left out, or none, or once keys do not suffice where they did: then a feed of those is opened. What it had not
// yielded comes again, or is made up by the runs with which that feed begins.
type partFeed struct {
	OpenedFeed
	stop     context.CancelFunc
	checking sync.WaitGroup
}

func (f *Followable) partFeed(ctx context.Context, opened OpenedFeed, was followed) *partFeed {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	p := &partFeed{OpenedFeed: opened, stop: cancel}
	p.checking.Go(func() {
		every := recheckAllEvery
		if len(was.left) > 0 {
			every = recheckEvery
		}
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			case <-f.replaced:
			}
			// An error says nothing about these jobs. If the servers are away, the feed
			// itself fails.
			now, err := f.followable(ctx)
			if err == nil && !was.same(now) {
				opened.End(errors.New("what can be followed, or followed by key, is not what it was"))
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
