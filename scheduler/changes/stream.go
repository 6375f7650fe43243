package changes

import (
	"context"
	"errors"
	"math"
	"slices"
	"time"

	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/feed"
)

// stream is one feed while it is followed. It is used by one goroutine.
type stream struct {
	feed     Feed
	start    feed.Start
	database Database
	epochs   Epochs
	gap      func(context.Context) error // begins an epoch
	fencers  map[string]*jobFencer       // :: job name
	later    []rounds                    // where work goes after the fencers, in that order
	fresh    *freshness                  // nil: no job has an objective
	places   []places                    // where changes are after the fencers, in that order
	reported time.Time                   // when it was said how fresh values are
	limit    int                         // keys of a job in one effect
	metrics  *Metrics

	rounds   *uint64         // made so far, over all feeds
	settled  bool            // every transaction that began before the feed is over
	lookedAt time.Time       // when that was last asked
	waiting  []*feed.Commits // no snapshot shows them yet
	pause    time.Duration   // before the next look at these
	top      uint64          // the highest position that was yielded
	unacked  []roundEnd      // positions not yet acknowledged to the feed
}

// rounds is a place where changes wait until they are done.
type rounds interface {
	// oldest is the round of the oldest change that is not done; noRound if there is none.
	oldest() uint64
}

// noRound is later than every round.
const noRound = math.MaxUint64

// roundEnd is the position that a round came to.
type roundEnd struct{ round, position uint64 }

// How soon commits that no snapshot shows are looked at again. One that waits for a
// synchronous standby can take any time.
const (
	firstLook   = 300 * time.Microsecond
	longestLook = 250 * time.Millisecond
	idleLook    = time.Second
)

// answerLimit is how long the databases may take to answer. A connection that is dead without
// knowing it must not hold up a follower that another replica could replace.
const answerLimit = 10 * time.Second

// round takes what the feed has, waits until a snapshot shows it, and gives each job's part
// to its fencer.
func (s *stream) round(ctx context.Context) error {
	wait := idleLook
	if len(s.waiting) > 0 {
		wait = s.pause
	} else if len(s.unacked) > 0 {
		wait = ackLook
	}
	through := s.completeBefore()
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
	if err := s.checkSettled(ctx); err != nil {
		return err
	}
	s.reportFresh(through)
	return s.acknowledge(ctx)
}

// ackLook is how often stream looks whether what it has given away is done.
const ackLook = 250 * time.Millisecond

// checkSettled begins another epoch once the transactions are over that were open when the
// feed began.
func (s *stream) checkSettled(ctx context.Context) error {
	if s.settled || time.Since(s.lookedAt) < idleLook {
		return nil
	}
	s.lookedAt = time.Now()
	open, err := s.start.Unsettled(ctx)
	if err != nil || open {
		return err
	}
	s.settled = true
	return s.gap(ctx)
}

var errOtherHistory = errors.New("postgres.url leads to another history than the change feed (a failover, a " +
	"restart, or another server)")

// visible is the barrier. A commit comes through the log before any snapshot shows it, by
// milliseconds, or for as long as it waits for a synchronous standby. A fence or a refresh of
// such a snapshot would keep the old value for good, so it waits here. What is visible
// overtakes what is not.
func (s *stream) visible(ctx context.Context) (*feed.Commits, error) {
	if len(s.waiting) == 0 {
		return nil, nil
	}
	if !slices.ContainsFunc(s.waiting, func(c *feed.Commits) bool { return len(c.XIDs) > 0 }) {
		return s.take(func(*feed.Commits) (bool, error) { return true, nil })
	}
	limited, cancel := context.WithTimeout(ctx, answerLimit)
	defer cancel()
	now, err := s.database.Now(limited)
	if err != nil {
		return nil, err
	}
	if !store.SameHistory(now.Origin, s.start.Origin) {
		return nil, errOtherHistory
	}
	return s.take(func(c *feed.Commits) (bool, error) { return shows(now, c) })
}

func shows(now store.Snapshot, c *feed.Commits) (bool, error) {
	for _, xid := range c.XIDs {
		if shown, err := now.Shows(xid); err != nil || !shown {
			return false, err
		}
	}
	return true, nil
}

// take merges the waiting commits that are shown; the others go on waiting. The position of
// the sum is the last one before which nothing waits; 0 if there is none.
func (s *stream) take(shown func(*feed.Commits) (bool, error)) (*feed.Commits, error) {
	sum := &feed.Commits{Effect: feed.NewEffect(s.limit)}
	var rest []*feed.Commits
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

// give gives each job's part of what has become visible to its fencer.
func (s *stream) give(commits *feed.Commits) {
	*s.rounds++
	s.metrics.rows.Add(float64(commits.Rows))
	for part := range commits.Effect.Parts() {
		s.fencers[part.Job.Name].give(part, *s.rounds, commits.Committed)
	}
	if s.start.Durable && commits.Position > 0 {
		s.unacked = append(s.unacked, roundEnd{*s.rounds, commits.Position})
	}
}

// acknowledge reports to the feed what it need not yield again: what was fenced, and then loaded,
// run, or kept for retry.
func (s *stream) acknowledge(ctx context.Context) error {
	if len(s.unacked) == 0 {
		return nil
	}
	oldest := uint64(noRound)
	for _, f := range s.fencers {
		oldest = min(oldest, f.oldest())
	}
	for _, place := range s.later { // after the fencers: what leaves one is in a later place by then
		oldest = min(oldest, place.oldest())
	}
	n := 0
	for n < len(s.unacked) && s.unacked[n].round < oldest {
		n++
	}
	if n == 0 {
		return nil
	}
	position := s.unacked[n-1].position
	s.unacked = s.unacked[n:]
	limited, cancel := context.WithTimeout(ctx, answerLimit)
	defer cancel()
	if err := s.epochs.Follow(limited, s.start.Place, position); err != nil {
		return err
	}
	return s.feed.Done(limited, position)
}
