package cache

import (
	"context"
	"crypto/rand"
	"fmt"
	"strconv"
	"time"

	"github.com/stokerhq/stoker/store"
)

// Armed is the right to write values of snapshots taken after it, until its
// deadline by Redis' own clock.
type Armed struct {
	At time.Time // by Redis' own clock

	nonces   []string // :: number of a book -> its nonce
	deadline int64    // ms, by Redis' own clock
	epoch    uint32
	server   string // run id of the Redis that was armed; "" in a Cluster
	masters  string // of a Cluster
	origin   string // of the epoch's snapshots; "" when it has seen none yet
	clock    string // the highest that was seen in the epoch, 20 digits
}

// Arm comes before the snapshot of a run or a refresh. It also proves that Redis
// answers before the database is asked to work for it. What it returns is kept
// and given again while at least half of its time is left.
func (c *Cache) Arm(ctx context.Context) (*Armed, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	// our clock says when to ask again; Redis' clock says what is late
	if c.armed != nil && time.Now().Before(c.until) {
		return c.armed, nil
	}
	asked := time.Now()
	a, err := c.arm(ctx)
	if err != nil {
		return nil, fmt.Errorf("arm the cache: %w", store.WithRemedy(err))
	}
	c.armed, c.until = a, asked.Add(c.lifetime()/4)
	return a, nil
}

// Renew arms anew, whatever is left of the time: it notices at once when the book
// or the epoch is another one.
func (c *Cache) Renew(ctx context.Context) (*Armed, error) {
	c.mu.Lock()
	c.armed = nil
	c.mu.Unlock()
	return c.Arm(ctx)
}

// Disarm forgets what was armed, because it has turned out to be worth nothing.
func (c *Cache) Disarm(a *Armed) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.armed == a {
		c.armed = nil
	}
}

func (c *Cache) arm(ctx context.Context) (*Armed, error) {
	a, err := c.readEpoch(ctx)
	if err != nil {
		return nil, err
	}
	life := c.lifetime()
	deadline := life.Milliseconds() / 2
	calls := make([]call, c.names.Books())
	for n := range calls {
		calls[n] = call{[]string{c.names.Book(n)}, []any{newNonce(), life.Milliseconds()}}
	}
	cmds, err := c.run(ctx, armScript, calls...)
	if err != nil {
		return nil, err
	}
	now := int64(0)
	for n, cmd := range cmds {
		reply, err := cmd.StringSlice()
		if err != nil {
			return nil, fmt.Errorf("read the answer of book %s: %w", c.names.Book(n), err)
		}
		if now, err = strconv.ParseInt(reply[1], 10, 64); err != nil {
			return nil, fmt.Errorf("read the time of redis: %w", err)
		}
		if n == 0 || now+deadline < a.deadline { // in Cluster, the node whose clock is behind
			a.At, a.deadline = time.UnixMilli(now), now+deadline
		}
		a.nonces = append(a.nonces, reply[0])
	}
	return a, nil
}

// newNonce is longer than 64 bytes, so that the book is a hash table from its
// first field on: a listpack of some hundred fields makes each look-up slow.
func newNonce() string { return rand.Text() + rand.Text() + rand.Text() }
