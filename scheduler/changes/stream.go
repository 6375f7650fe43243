package changes

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
)

// stream is one feed while it is followed.
type stream struct {
	*Follower
	feed  Feed
	start store.FeedStart
	lanes map[string]*lane // :: job name

	settled bool            // no transaction is open of which the feed does not tell
	looked  time.Time       // for such
	waiting []*jobs.Commits // that no snapshot shows yet
	pause   time.Duration   // before the next look at these
	top     uint64          // the highest position that was yielded
	marks   []mark          // positions that the feed has not been told to be done
}

// mark is the position that a round came to.
type mark struct{ round, position uint64 }

// How soon commits that no snapshot shows are looked at again. One that waits for a
// synchronous standby can take any time.
const (
	firstLook   = 300 * time.Microsecond
	longestLook = 250 * time.Millisecond
	idleLook    = time.Second
)

// askLimit is how long the databases may take to answer. A connection that is dead
// and does not know it must not hold up a follower that another could replace.
const askLimit = 10 * time.Second

// round takes what the feed has, waits until a snapshot shows it, and gives each
// job's part to its lane.
func (s *stream) round(ctx context.Context) error {
	wait := idleLook
	if len(s.waiting) > 0 {
		wait = s.pause
	}
	next, cancel := context.WithTimeout(ctx, wait)
	commits, err := s.feed.Next(next)
	cancel()
	if err != nil {
		return err
	}
	s.pause = min(2*s.pause, longestLook)
	if len(commits) > 0 {
		s.pause = firstLook
	}
	s.waiting = append(s.waiting, commits...)
	visible, err := s.visible(ctx)
	if err != nil {
		return err
	}
	if visible != nil {
		s.give(visible)
	}
	if err := s.settle(ctx); err != nil {
		return err
	}
	return s.done(ctx)
}

// settle has the watched jobs run once more when the transactions are over that were
// open when the feed began.
func (s *stream) settle(ctx context.Context) error {
	if s.settled || time.Since(s.looked) < idleLook {
		return nil
	}
	s.looked = time.Now()
	open, err := s.start.Unsettled(ctx)
	if err != nil || open {
		return err
	}
	s.settled = true
	return s.gap(ctx)
}

var errOtherHistory = errors.New("postgres.url leads to another history than the change feed (a failover, a restart, or another server)")

// visible is the barrier. A commit comes through the log before any snapshot shows
// it, by milliseconds, or for as long as it waits for a synchronous standby. A
// fence or a refresh of such a snapshot would keep the old value for good: so it
// waits here. What is visible goes on past what is not.
func (s *stream) visible(ctx context.Context) (*jobs.Commits, error) {
	if len(s.waiting) == 0 {
		return nil, nil
	}
	if !slices.ContainsFunc(s.waiting, func(c *jobs.Commits) bool { return len(c.XIDs) > 0 }) {
		return s.take(func(*jobs.Commits) (bool, error) { return true, nil })
	}
	asking, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	now, err := s.source.Now(asking)
	if err != nil {
		return nil, err
	}
	if now.Origin != s.start.Origin {
		return nil, errOtherHistory
	}
	return s.take(func(c *jobs.Commits) (bool, error) { return shows(now, c) })
}

func shows(now store.Snapshot, c *jobs.Commits) (bool, error) {
	for _, xid := range c.XIDs {
		if shown, err := now.Shows(xid); err != nil || !shown {
			return false, err
		}
	}
	return true, nil
}

// take merges the waiting commits that are shown; the others go on waiting. The
// position of the sum is one that nothing waits before; 0 if there is none.
func (s *stream) take(shown func(*jobs.Commits) (bool, error)) (*jobs.Commits, error) {
	sum := &jobs.Commits{Effect: jobs.NewEffect(s.limit)}
	var rest []*jobs.Commits
	before := uint64(0)
	for _, c := range s.waiting {
		s.top = max(s.top, c.Position)
		ok, err := shown(c)
		if err != nil {
			return nil, err
		}
		if !ok {
			rest = append(rest, c)
			continue
		}
		if len(rest) == 0 {
			before = c.Position
		}
		sum.Merge(c)
		s.metrics.transactions.Add(float64(max(1, len(c.XIDs))))
	}
	if s.waiting = rest; len(rest) > 0 {
		s.metrics.waits.Inc()
		sum.Position = before
	} else {
		sum.Position = s.top
	}
	return sum, nil
}

// give gives each job's part of what has become visible to its lane.
func (s *stream) give(commits *jobs.Commits) {
	s.rounds++
	s.metrics.rows.Add(float64(commits.Rows))
	for part := range commits.Effect.Parts() {
		s.lanes[part.Job.Name].give(part, s.rounds, commits.Committed)
	}
	if s.start.Durable && commits.Position > 0 {
		s.marks = append(s.marks, mark{s.rounds, commits.Position})
	}
}

// done tells the feed what need not be yielded again: what was fenced, and then
// loaded or run.
func (s *stream) done(ctx context.Context) error {
	if len(s.marks) == 0 {
		return nil
	}
	oldest := uint64(noRound)
	for _, l := range s.lanes {
		oldest = min(oldest, l.oldest())
	}
	oldest = min(oldest, s.desk.oldest()) // after the lanes: what leaves a lane is on the desk by then
	n := 0
	for n < len(s.marks) && s.marks[n].round < oldest {
		n++
	}
	if n == 0 {
		return nil
	}
	position := s.marks[n-1].position
	s.marks = s.marks[n:]
	asking, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	if err := s.epochs.Follow(asking, s.start.Place, position); err != nil {
		return err
	}
	return s.feed.Done(asking, position)
}
