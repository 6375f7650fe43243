package changes

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hibiken/asynq"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/stokerhq/stoker/jobs"
)

// listener hears how fresh jobs are.
type listener struct {
	mu    sync.Mutex
	shown map[string]time.Time
}

func (l *listener) ReportFreshness(_ context.Context, shown map[string]time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.shown = shown
	return nil
}

// measured plays a follower that reports how fresh the product is. The feed is complete up to now, unless it has
// stopped.
type measured struct {
	*rig
	*listener
	stopped atomic.Pointer[time.Time] // the feed is complete up to then only
}

func measure(t *testing.T, prepare func(m *measured), do func(m *measured)) {
	synctest.Test(t, func(t *testing.T) {
		m := &measured{rig: newRig(t), listener: new(listener)}
		m.rig.start.Through = func() time.Time {
			if at := m.stopped.Load(); at != nil {
				return *at
			}
			return time.Now()
		}
		if prepare != nil {
			prepare(m)
		}
		job := *product
		job.Objective = &jobs.Objective{Age: time.Minute, Ratio: 0.999, Window: jobs.DefaultObjectiveWindow}
		config := m.Follower.cfg
		config.Jobs, config.Freshness = []*jobs.Job{&job, other}, m.listener
		config.Metrics = NewMetrics(prometheus.NewRegistry())
		f := New(config)
		m.rig.Follower = f
		stop := m.run(f)
		do(m)
		stop()
	})
}

// age is how long before now the changes of the product are known to show; -1: that is not known.
func (m *measured) age() time.Duration {
	m.sleep(3 * time.Second) // an idle feed is looked at each second, and so is a report sent
	m.listener.mu.Lock()
	defer m.listener.mu.Unlock()
	at, is := m.shown["product"]
	if _, more := m.shown["other"]; more {
		m.Error("a job without an objective is reported")
	}
	if !is {
		return -1
	}
	return time.Since(at)
}

// wantFresh holds the report to now: nothing waits.
func (m *measured) wantFresh(when string) {
	m.Helper()
	if age := m.age(); age < 0 || age > 3*time.Second {
		m.Errorf("%s: changes show up to %s ago", when, age)
	}
}

// wantSince holds the report to a COMMIT.
func (m *measured) wantSince(when string, committed time.Time) {
	m.Helper()
	if age, want := m.age(), time.Since(committed); age != want {
		m.Errorf("%s: changes show up to %s ago, want %s", when, age, want)
	}
}

// A commit makes values old from its COMMIT on: while no snapshot shows it, while it is fenced, while it is loaded, and
// while its load fails.
//
// Broken by: an age that is measured from when the change was read, or fenced.
func TestFreshnessCountsFromTheCommit(t *testing.T) {
	measure(t, nil, func(m *measured) {
		m.wantFresh("at first")
		m.hold()
		committed := time.Now()
		c := commit(150, product, "a")
		c.Committed = committed
		m.yield(c)
		m.sleep(40 * time.Second)
		m.wantSince("no snapshot shows it", committed)
		m.show(200, "")
		m.wantSince("it is being loaded", committed)
		later := commit(201, product, "a")
		later.Committed = time.Now()
		m.show(300, "")
		m.yield(later)
		m.wantSince("it has changed again", committed)
		m.release()
		m.wantSince("the first change is loaded, the second is not", later.Committed)
		m.release()
		m.wantFresh("all is loaded")
	})
}

// A run that a change asks for is waited for until it has ended well.
func TestFreshnessWaitsForRuns(t *testing.T) {
	measure(t, nil, func(m *measured) {
		m.show(300, "")
		c := commit(150, product)
		c.Committed = time.Now()
		c.Effect.Rerun(product, "TRUNCATE")
		m.yield(c)
		m.wantSince("the run waits", c.Committed)
		m.end("t1", asynq.TaskStateArchived)
		m.sleep(time.Minute)
		m.wantSince("the run has failed, and is enqueued again", c.Committed)
		m.end("t2", asynq.TaskStateCompleted)
		m.wantFresh("the run has ended")
	})
}

// A feed from which nothing comes says nothing of how fresh values are.
func TestFreshnessOfAFeedThatIsHeldUp(t *testing.T) {
	measure(t, nil, func(m *measured) {
		m.wantFresh("at first")
		held := time.Now()
		m.stopped.Store(&held)
		m.sleep(5 * time.Minute)
		m.wantSince("it is held up", held)
		m.stopped.Store(nil)
		m.wantFresh("it goes on")
	})
}

// What is not known is not reported: a feed that does not say how far it is, a job that is left out of it, and
// transactions that it may not have.
func TestFreshnessIsUnknown(t *testing.T) {
	for name, prepare := range map[string]func(*measured){
		"how far the feed is": func(m *measured) { m.rig.start.Through = func() time.Time { return time.Time{} } },
		"no word of that":     func(m *measured) { m.rig.start.Through = nil },
		"left out":            func(m *measured) { m.rig.start.LeftOut = map[string]bool{"product": true} },
		"unsettled": func(m *measured) {
			m.rig.start.Unsettled = func(context.Context) (bool, error) { return true, nil }
		},
	} {
		t.Run(name, func(t *testing.T) {
			measure(t, prepare, func(m *measured) {
				m.sleep(time.Minute)
				if age := m.age(); age != -1 {
					m.Errorf("reported as %s old", age)
				}
			})
		})
	}
}
