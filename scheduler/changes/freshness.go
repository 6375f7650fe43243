package changes

import (
	"context"
	"log/slog"
	"time"

	"github.com/stokerhq/stoker/jobs"
)

// How fresh values are: whatever was committed before a time shows in them. It is the time up to which the feed is
// known to be complete, or, where a change is on its way, when the oldest of these was committed. It is the COMMIT that
// counts, and not when we have heard of it, or have fenced: from then on readers find what Postgres no longer holds.

// FreshnessReporter is given how fresh the values of jobs are; store/ledger keeps it.
type FreshnessReporter interface {
	// ReportFreshness is given, for each job of which it is known, a time by Postgres' clock: whatever was committed
	// before shows in its values, if it was run since changes may have been missed the last time.
	ReportFreshness(ctx context.Context, shown map[string]time.Time) error
}

// places is where changes of a job wait until they show.
type places interface {
	// committed is when the oldest change of a job that waits was committed; zero if that is not known.
	committed(job string) (oldest time.Time, waits bool)
}

// older is the earlier of two times of commits. One that is not known may be the earliest.
func older(a, b time.Time) time.Time {
	if a.IsZero() || b.IsZero() {
		return time.Time{}
	}
	if b.Before(a) {
		return b
	}
	return a
}

// oldestOf adds the time of a commit to those of others, if there were any.
func oldestOf(oldest time.Time, waits bool, committed time.Time) (time.Time, bool) {
	if !waits {
		return committed, true
	}
	return older(oldest, committed), true
}

// freshEvery is how often it is said how fresh values are.
const freshEvery = 500 * time.Millisecond

// freshness says how fresh the jobs with an objective are. It does not hold up the stream: what is newer replaces what
// was not sent yet.
type freshness struct {
	jobs     []*jobs.Job
	reporter FreshnessReporter
	log      *slog.Logger
	latest   chan map[string]time.Time
	failing  bool
}

// newFreshness returns nil where no job that is followed has an objective.
func newFreshness(c Config) *freshness {
	f := &freshness{reporter: c.Freshness, log: c.Log, latest: make(chan map[string]time.Time, 1)}
	for _, job := range c.Jobs {
		if job.Objective != nil && len(job.Watch) > 0 && !job.Volatile {
			f.jobs = append(f.jobs, job)
		}
	}
	if c.Freshness == nil || len(f.jobs) == 0 {
		return nil
	}
	return f
}

// offer has it reported. It is called by one goroutine.
func (f *freshness) offer(shown map[string]time.Time) {
	select {
	case <-f.latest:
	default:
	}
	f.latest <- shown
}

// run reports until ctx ends.
func (f *freshness) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case shown := <-f.latest:
			limited, cancel := context.WithTimeout(ctx, answerLimit)
			err := f.reporter.ReportFreshness(limited, shown)
			cancel()
			if err != nil && !f.failing && ctx.Err() == nil {
				f.log.Warn("how fresh values are was not reported; objectives count the time as bad", jobs.LogErr, err)
			}
			f.failing = err != nil
		}
	}
}

// completeBefore is the time up to which the feed is complete; zero if that is not known.
func (s *stream) completeBefore() time.Time {
	if s.fresh == nil || s.start.Through == nil {
		return time.Time{}
	}
	return s.start.Through()
}

// reportFresh reports how fresh the jobs are, if it is time to. The feed had yielded all before through when it was
// asked for the last time. While transactions are open that neither the feed nor a run shows, nothing is known.
func (s *stream) reportFresh(through time.Time) {
	if s.fresh == nil || !s.settled || through.IsZero() || time.Since(s.reported) < freshEvery {
		return
	}
	s.reported = time.Now()
	shown := make(map[string]time.Time)
	for _, job := range s.fresh.jobs {
		if at := s.shownBefore(job, through); !at.IsZero() {
			shown[job.Name] = at
		}
	}
	s.fresh.offer(shown)
}

// shownBefore is the time before which all changes show in a job's values; zero if that is not known. The places are
// asked in the order in which changes pass them: what leaves one is in a later one by then.
func (s *stream) shownBefore(job *jobs.Job, through time.Time) time.Time {
	if s.start.LeftOut[job.Name] {
		return time.Time{}
	}
	at := through
	for _, place := range append([]places{s, s.fencers[job.Name]}, s.places...) {
		if oldest, waits := place.committed(job.Name); waits {
			at = older(at, oldest)
		}
	}
	return at
}

// committed implements places: of what no snapshot shows yet.
func (s *stream) committed(job string) (oldest time.Time, waits bool) {
	for _, c := range s.waiting {
		for part := range c.Effect.Parts() {
			if part.Job.Name == job {
				oldest, waits = oldestOf(oldest, waits, c.Committed)
			}
		}
	}
	return oldest, waits
}
