package lookups

import "sync"

// Count is a number of lookups, in parts where it is an estimate.
type Count struct {
	Hits, Misses float64
}

// Counter adds up lookups. It is safe for concurrent use. The nil Counter counts nothing.
type Counter struct {
	mu    sync.Mutex
	sum   Count
	blind bool
}

// Add counts more.
func (c *Counter) Add(hits, misses float64) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sum.Hits += hits
	c.sum.Misses += misses
}

// setBlind says that the scripts of a client look up what nobody can count.
func (c *Counter) setBlind() {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.blind = true
}

// Take returns what was counted since the last Take, in whole numbers; what is over is left for the next one. blind
// reports whether there are lookups that could not be counted.
func (c *Counter) Take() (hits, misses int64, blind bool) {
	if c == nil {
		return 0, 0, false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	hits, misses = int64(c.sum.Hits), int64(c.sum.Misses)
	c.sum.Hits -= float64(hits)
	c.sum.Misses -= float64(misses)
	return hits, misses, c.blind
}
