// Package written follows how much of the manifest of a run is of values that are written, so that a run that is
// stopped half way leaves a manifest to go on from.
//
//	a chunk is kept ──► the batches with its keys are sent ──► all of them are written, and those before ──► it counts
package written

import (
	"sync"

	"github.com/stokerhq/stoker/store"
)

// Chunks counts the chunks of a manifest, from its beginning, whose values are all written. The zero value is ready.
type Chunks struct {
	mu    sync.Mutex
	sent  []sent // oldest first; the first is not written
	last  int    // how many chunks were kept when the last batch was sent
	count int
}

// sent is a batch on its way, and how many chunks count once it is written, and all that were sent before.
type sent struct {
	batch   *store.Batch
	chunks  int
	written bool
}

// Sent notes that a batch is handed to a writer, when so many chunks are kept. The last key of the last chunk may be
// for the next batch: that chunk counts with the next one.
func (c *Chunks) Sent(b *store.Batch, kept int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sent = append(c.sent, sent{batch: b, chunks: c.last})
	c.last = kept
}

// Written notes that a batch is written. If more chunks count now, keep is given their number; it is called by one at a
// time, and each time with a higher one.
func (c *Chunks) Written(b *store.Batch, keep func(chunks int)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range c.sent {
		if c.sent[i].batch == b { // it comes back when it is written: it is there once
			c.sent[i].written = true
		}
	}
	count := c.count
	for len(c.sent) > 0 && c.sent[0].written {
		count = c.sent[0].chunks
		c.sent = c.sent[1:]
	}
	if count > c.count {
		c.count = count
		keep(count)
	}
}

// Count is how many chunks count.
func (c *Chunks) Count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.count
}
