package cache

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/cache/info"
)

// readEpoch reads which epoch it is. A record that is gone means that it is not known
// what the books' stamps are worth. One that another server has written, or that does
// not know a master of a Cluster, says that fences may be lost: Redis was started again,
// from data of a moment ago, or a replica that lagged was promoted. In both cases a new
// epoch begins, and the books with it.
func (c *Cache) readEpoch(ctx context.Context) (*Armed, error) {
	for {
		server, err := c.server(ctx)
		if err != nil {
			return nil, err
		}
		record, err := c.c.HMGet(ctx, c.names.Epoch(), "epoch", "origin", "clock", "server", "format",
			"masters").Result()
		if err != nil {
			return nil, err
		}
		format, _ := record[4].(string)
		old, err := store.CheckFormat(formatOf, format)
		if err == nil && old && record[0] != nil {
			err = c.raiseFormat(ctx)
		}
		if err != nil {
			return nil, err
		}
		a := &Armed{server: server}
		if a.masters, err = c.masters(ctx); err != nil {
			return nil, err
		}
		if record[0] != nil {
			if a.epoch, err = parseEpoch(record[0]); err != nil {
				return nil, err
			}
			c.seen.Store(max(c.seen.Load(), a.epoch))
			a.origin, _ = record[1].(string)
			a.clock, _ = record[2].(string)
			known, _ := record[5].(string)
			if record[3] == server && !info.Joined(a.masters, known) {
				if known == "" && a.masters != "" { // the record is of an older version
					err = c.c.HSet(ctx, c.names.Epoch(), "masters", a.masters).Err()
				}
				return a, err
			}
		}
		if err := c.beginBooks(ctx, a); err != nil {
			return nil, err
		}
	}
}

// server is the run id of the Redis that answers; "" where it does not say, and in
// a cluster, which has many.
func (c *Cache) server(ctx context.Context) (string, error) {
	if c.names.Cluster {
		return "", nil
	}
	text, err := c.c.Info(ctx, "server").Result()
	if _, refused := errors.AsType[redis.Error](err); refused {
		return "", nil // a server without INFO, or a user without the right to it
	}
	if err != nil {
		return "", err
	}
	_, id, _ := strings.Cut(text, "run_id:")
	id, _, _ = strings.Cut(id, "\r")
	return id, nil
}

// masters are those of a Cluster; "" where they do not say.
func (c *Cache) masters(ctx context.Context) (string, error) {
	if !c.names.Cluster {
		return "", nil
	}
	return c.info.Masters(ctx)
}

// beginBooks empties the books, and then opens an epoch whose origin is not known
// yet: in this order, so that no book is left with stamps that are above those of
// the new epoch if this process dies in between.
func (c *Cache) beginBooks(ctx context.Context, a *Armed) error {
	_, err := c.c.Pipelined(ctx, func(p redis.Pipeliner) error {
		for n := range c.names.Books() {
			p.Unlink(ctx, c.names.Book(n))
		}
		return nil
	})
	if err != nil {
		return err
	}
	_, err = c.openEpoch(ctx, a, "", false)
	return err
}

// Gap opens an epoch because changes may have been missed, without a fence for them. What
// was read before is refused from when a run of the new epoch has claimed its job.
func (c *Cache) Gap(ctx context.Context) error {
	for {
		a, err := c.Renew(ctx)
		if err != nil {
			return err
		}
		opened, err := c.openEpoch(ctx, a, a.origin, true)
		if err != nil {
			return fmt.Errorf("open an epoch after a gap: %w", store.WithRemedy(err))
		}
		c.Disarm(a)
		if opened {
			return nil
		}
	}
}

// openEpoch opens the epoch after that of a, or says where the snapshots of this
// one come from if it has seen none, unless another process has.
func (c *Cache) openEpoch(ctx context.Context, a *Armed, origin string, gap bool) (opened bool, err error) {
	defer c.sight.forget()
	cmds, err := c.run(ctx, epochScript, call{[]string{c.names.Epoch()},
		[]any{a.epoch, a.origin, origin, a.server, gap, c.seen.Load(), a.masters}})
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
	if a.origin == "" || !store.SameHistory(s.Origin, a.origin) || clock < a.clock {
		opened, err := c.openEpoch(ctx, a, s.Origin, false)
		if err != nil {
			return store.Stamp{}, fmt.Errorf("open a new epoch: %w", store.WithRemedy(err))
		}
		c.Disarm(a)
		if !opened || a.origin != "" {
			return store.Stamp{}, ErrNewEpoch
		}
	}
	cmds, err := c.run(ctx, clockScript, call{[]string{c.names.Epoch()},
		[]any{a.epoch, clock, a.origin, store.FullerOrigin(a.origin, s.Origin)}})
	if err != nil {
		return store.Stamp{}, fmt.Errorf("remember the clock of postgres: %w", store.WithRemedy(err))
	}
	if same, err := cmds[0].Int64(); err != nil || same != 1 {
		c.Disarm(a)
		return store.Stamp{}, errors.Join(err, ErrNewEpoch)
	}
	return store.Stamp{Epoch: a.epoch, Clock: s.Clock}, nil
}

// Epoch returns which epoch it is, 0 when nothing was ever armed, and the one in
// which this history of Postgres began. A job whose last run is of an epoch before
// that must be run again; one that watches tables, if it is not of this epoch.
//
// It is what Lost has read in the last second, where this process calls it.
func (c *Cache) Epoch(ctx context.Context) (now, history uint32, err error) {
	if now, history, ok := c.sight.recent(); ok {
		return now, history, nil
	}
	record, err := c.c.HMGet(ctx, c.names.Epoch(), "epoch", "history").Result()
	if err != nil {
		return 0, 0, fmt.Errorf("read the epoch: %w", err)
	}
	for i, into := range []*uint32{&now, &history} {
		if *into, err = parseEpoch(record[i]); err != nil {
			return 0, 0, err
		}
	}
	return now, history, nil
}

// parseEpoch reads a field of the record; one that is not there is 0.
func parseEpoch(field any) (uint32, error) {
	if field == nil {
		return 0, nil
	}
	n, err := strconv.ParseUint(fmt.Sprint(field), 10, 32)
	if err != nil {
		return 0, fmt.Errorf("the record of the epoch: %w", err)
	}
	return uint32(n), nil
}

// Followed returns which change feed has kept the cache fresh, and how far; "" when
// none has. It is kept with the epoch, and lost with it.
func (c *Cache) Followed(ctx context.Context) (place string, position uint64, err error) {
	record, err := c.c.HMGet(ctx, c.names.Epoch(), "feed", "position").Result()
	if err != nil {
		return "", 0, fmt.Errorf("read how far changes were followed: %w", err)
	}
	if record[0] == nil || record[1] == nil {
		return "", 0, nil
	}
	position, err = strconv.ParseUint(fmt.Sprint(record[1]), 10, 64)
	if err != nil {
		return "", 0, fmt.Errorf("%s: %w", c.names.Epoch(), err)
	}
	return fmt.Sprint(record[0]), position, nil
}

// Follow notes that changes of a feed are followed up to a position.
func (c *Cache) Follow(ctx context.Context, place string, position uint64) error {
	if err := c.c.HSet(ctx, c.names.Epoch(), "feed", place, "position", position).Err(); err != nil {
		return fmt.Errorf("note how far changes are followed: %w", store.WithRemedy(err))
	}
	return nil
}
