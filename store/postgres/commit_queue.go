package postgres

import (
	"context"
	"sync"

	"github.com/stokerhq/stoker/store/feed"
)

// inbox hands commits from the goroutine that reads a feed to who calls Next.
type commitQueue struct {
	longest int           // how many commits wait on their own; those that come later are folded into the last
	arrived chan struct{} // holds one token when there is something for Next

	mu     sync.Mutex
	queue  []*feed.Commits // not yet taken by Next
	failed error
}

func newCommitQueue(longest int) *commitQueue {
	return &commitQueue{longest: longest, arrived: make(chan struct{}, 1)}
}

func (i *commitQueue) push(c *feed.Commits) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if n := len(i.queue); n >= i.longest {
		i.queue[n-1].Merge(c)
		return
	}
	i.queue = append(i.queue, c)
	i.wake()
}

// End ends the feed: Next returns err once it has returned what came before. The
// first error counts.
func (i *commitQueue) End(err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.failed == nil {
		i.failed = err
	}
	i.wake()
}

func (i *commitQueue) wake() {
	select {
	case i.arrived <- struct{}{}:
	default:
	}
}

func (i *commitQueue) empty() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return len(i.queue) == 0
}

// Next waits for commits and returns those since the last call. It is not an
// error that ctx has ended: then there are none.
func (i *commitQueue) Next(ctx context.Context) ([]*feed.Commits, error) {
	for {
		i.mu.Lock()
		queue, failed := i.queue, i.failed
		i.queue = nil
		i.mu.Unlock()
		if len(queue) > 0 {
			return queue, nil
		}
		if failed != nil {
			return nil, failed
		}
		select {
		case <-ctx.Done():
			return nil, nil
		case <-i.arrived:
		}
	}
}
