package cache

import (
	"context"
	"crypto/rand"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stokerhq/stoker/store"
)

// Armed is the right to write values of snapshots taken after it, until its
// deadline by Redis' own clock.
type Armed struct {
	At time.Time // by Redis' own clock

	nonces   []string // :: number of a book -> its nonce
	deadline int64    // ms, by Redis' own clock
	epoch    uint32
	origin   string // of the epoch's snapshots; "" when it has seen none yet
	clock    string // the highest that was seen in the epoch, 20 digits
}

// Arm comes before the snapshot of a run or a refresh. It also proves that Redis
// answers before the database is asked to work for it. What it returns is kept
// and given again while at least half of its time is left.
func (c *Cache) Arm(ctx context.Context) (*Armed, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.armed != nil && time.Now().Before(c.until) { // our clock says when to ask again; Redis' clock says what is late
		return c.armed, nil
	}
	asked := time.Now()
	a, err := c.arm(ctx)
	if err != nil {
		return nil, fmt.Errorf("arm the cache: %w", explain(err))
	}
	c.armed, c.until = a, asked.Add(c.life/4)
	return a, nil
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
	calls := make([]call, c.books.count())
	for n := range calls {
		calls[n] = call{[]string{c.books.key(n)}, []any{newNonce(), c.life.Milliseconds()}}
	}
	cmds, err := c.run(ctx, armScript, calls...)
	if err != nil {
		return nil, err
	}
	now := int64(0)
	for n, cmd := range cmds {
		reply, err := cmd.StringSlice()
		if err != nil {
			return nil, fmt.Errorf("read the answer of book %s: %w", c.books.key(n), err)
		}
		if now, err = strconv.ParseInt(reply[1], 10, 64); err != nil {
			return nil, fmt.Errorf("read the time of redis: %w", err)
		}
		if n == 0 || now+c.deadline() < a.deadline { // in Cluster, the node whose clock is behind
			a.At, a.deadline = time.UnixMilli(now), now+c.deadline()
		}
		a.nonces = append(a.nonces, reply[0])
	}
	return a, nil
}

// deadline is how long what was armed may be used, in ms.
func (c *Cache) deadline() int64 { return c.life.Milliseconds() / 2 }

// newNonce is longer than 64 bytes, so that the book is a hash table from its
// first field on: a listpack of some hundred fields makes each look-up slow.
func newNonce() string { return rand.Text() + rand.Text() + rand.Text() }

// epochKey is where the epoch of our one source is kept: {epoch, origin, clock}.
const epochKey = "stoker:epoch:postgres"

// readEpoch reads which epoch it is. A record that is gone says that nobody knows
// what the books' stamps are worth: it is begun anew, and the books with it.
func (c *Cache) readEpoch(ctx context.Context) (*Armed, error) {
	for {
		record, err := c.c.HMGet(ctx, epochKey, "epoch", "origin", "clock").Result()
		if err != nil {
			return nil, err
		}
		if record[0] == nil {
			if err := c.firstEpoch(ctx); err != nil {
				return nil, err
			}
			continue
		}
		epoch, err := strconv.ParseUint(fmt.Sprint(record[0]), 10, 32)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", epochKey, err)
		}
		a := &Armed{epoch: uint32(epoch)}
		a.origin, _ = record[1].(string)
		a.clock, _ = record[2].(string)
		return a, nil
	}
}

func (c *Cache) firstEpoch(ctx context.Context) error {
	opened, err := c.openEpoch(ctx, &Armed{}, "")
	if err != nil || !opened {
		return err
	}
	_, err = c.c.Pipelined(ctx, func(p redis.Pipeliner) error {
		for n := range c.books.count() {
			p.Unlink(ctx, c.books.key(n))
		}
		return nil
	})
	return err
}

// openEpoch opens the epoch after that of a, or says where the snapshots of this
// one come from if it has seen none, unless another process has.
func (c *Cache) openEpoch(ctx context.Context, a *Armed, origin string) (opened bool, err error) {
	cmds, err := c.run(ctx, epochScript, call{[]string{epochKey}, []any{a.epoch, a.origin, origin}})
	if err != nil {
		return false, err
	}
	reply, err := cmds[0].Int64Slice()
	return err == nil && reply[1] == 1, err
}

// Stamp is the stamp of a snapshot that was taken after a. ErrNewEpoch says that
// the snapshot is of another history than those before it, or lies behind one
// that was seen before a: the epoch is raised, so that nothing of the lost
// history can be written any more, and the caller begins again.
func (c *Cache) Stamp(ctx context.Context, a *Armed, s store.Snapshot) (store.Stamp, error) {
	clock := fmt.Sprintf("%020d", s.Clock)
	if s.Origin != a.origin || clock < a.clock {
		opened, err := c.openEpoch(ctx, a, s.Origin)
		if err != nil {
			return store.Stamp{}, fmt.Errorf("open a new epoch: %w", explain(err))
		}
		c.Disarm(a)
		if !opened || a.origin != "" {
			return store.Stamp{}, ErrNewEpoch
		}
	}
	if _, err := c.run(ctx, clockScript, call{[]string{epochKey}, []any{a.epoch, clock}}); err != nil {
		return store.Stamp{}, fmt.Errorf("remember the clock of postgres: %w", explain(err))
	}
	return store.Stamp{Epoch: a.epoch, Clock: s.Clock}, nil
}

// Epoch returns which epoch it is; 0 when nothing was ever armed. A higher one
// than that of a job's last run says that the job must be run again.
func (c *Cache) Epoch(ctx context.Context) (uint32, error) {
	epoch, err := c.c.HGet(ctx, epochKey, "epoch").Uint64()
	if err != nil && err != redis.Nil {
		return 0, fmt.Errorf("read the epoch: %w", err)
	}
	return uint32(epoch), nil
}
