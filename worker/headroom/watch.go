package headroom

import (
	"context"
	"sync"
	"time"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/cache/info"
)

const (
	// lookEvery is how often the servers are asked while a run writes.
	lookEvery = 250 * time.Millisecond

	// lookAfter is how many bytes are written at least between two looks that come earlier, because little is left.
	lookAfter = 256 << 10
)

// Watch looks at the memory of the servers while one run writes. It is safe for concurrent use; a nil Watch looks at
// nothing.
type Watch struct {
	g   *Guard
	job *jobs.Job

	mu     sync.Mutex
	bounds map[string]int64 // :: run id -> bytes that the run must not take a server past
	left   int64            // bytes to the nearest bound, at the last look
	sent   int64            // bytes written since
	looked time.Time
}

func newWatch(g *Guard, job *jobs.Job, nodes []info.Node) *Watch {
	w := &Watch{g: g, job: job, bounds: make(map[string]int64)}
	_ = w.judge(nodes) // of what was judged already, the bounds are kept
	return w
}

// Check is asked before bytes are written. The error is a *store.HeadroomError when a server is too full for the run
// to go on. A server that does not answer is asked again later: the write says what is wrong with it.
func (w *Watch) Check(ctx context.Context, bytes int) error {
	if w == nil {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sent += int64(bytes)
	if time.Since(w.looked) < lookEvery && w.sent < max(lookAfter, w.left/4) {
		return nil
	}
	nodes, err := w.g.cfg.Cache.Nodes(ctx)
	if err != nil {
		return nil
	}
	return w.judge(nodes)
}

// judge notes how much is left, and refuses where nothing is.
func (w *Watch) judge(nodes []info.Node) (err error) {
	w.looked, w.sent, w.left = time.Now(), 0, 1<<62
	for _, n := range nodes {
		if n.Max == 0 {
			continue
		}
		bound, known := w.bounds[n.RunID]
		if !known {
			bound = w.g.bound(n)
			w.bounds[n.RunID] = bound
		}
		if n.Used > bound && err == nil {
			err = w.g.refuse(w.job, n, store.HeadroomError{Begun: true})
		}
		w.left = min(w.left, bound-n.Used)
	}
	return err
}

// bound is the limit of a server, or further up where it is close to that already: the manifest of a run that
// replaces values in place needs room too. A run never takes more than half of what others are left with.
func (g *Guard) bound(n info.Node) int64 {
	limit := g.limit(n)
	return max(limit, n.Used+(n.Max-max(limit, n.Used))/2)
}
