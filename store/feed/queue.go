package feed

import (
	"context"
	"sync"
)

// CommitQueue passes commits from the goroutine that reads a feed to the caller of Next.
type CommitQueue struct {
	longest int           // how many commits wait on their own; those that come later are folded into the last
	arrived chan struct{} // holds one token when there is something for Next

	mu     sync.Mutex
	queue  []*Commits // not yet taken by Next
	failed error
}

// NewCommitQueue returns an empty queue. If longest commits wait in it, later ones are
// merged into the last.
func NewCommitQueue(longest int) *CommitQueue {
	return &CommitQueue{longest: longest, arrived: make(chan struct{}, 1)}
}

// Push adds commits. It never waits.
func (q *CommitQueue) Push(c *Commits) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if n := len(q.queue); n >= q.longest {
		q.queue[n-1].Merge(c)
		return
	}
	q.queue = append(q.queue, c)
	q.wake()
}

// End ends the feed: Next returns err once it has returned what came before. The
// first error counts.
func (q *CommitQueue) End(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.failed == nil {
		q.failed = err
	}
	q.wake()
}

func (q *CommitQueue) wake() {
	select {
	case q.arrived <- struct{}{}:
	default:
	}
}

// Empty reports whether Next has taken all commits.
func (q *CommitQueue) Empty() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.queue) == 0
}

// Next waits for commits and returns those since the last call. It is not an
// error that ctx has ended: then there are none.
func (q *CommitQueue) Next(ctx context.Context) ([]*Commits, error) {
	for {
		q.mu.Lock()
		queue, failed := q.queue, q.failed
		q.queue = nil
		q.mu.Unlock()
		if len(queue) > 0 {
			return queue, nil
		}
		if failed != nil {
			return nil, failed
		}
		select {
		case <-ctx.Done():
			return nil, nil
		case <-q.arrived:
		}
	}
}
