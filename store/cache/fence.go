package cache

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/stokerhq/stoker/store"
)

// Drop is a grace for Fence: what is there is removed, also if it is no older.
const Drop time.Duration = -1

// Fence says that what is older than stamp is out of date: nothing read before
// is written to the keys from here on, and what is there stays readable for the
// grace at most; with none it is removed. It returns which of the keys were
// removed. The stamp is of a snapshot taken after a.
func (c *Cache) Fence(ctx context.Context, a *Armed, stamp store.Stamp, keys [][]byte,
	grace time.Duration) (removed [][]byte, err error) {
	ms := grace.Milliseconds()
	if grace == Drop {
		ms = -1
	}
	for part := range slices.Chunk(keys, scriptKeys) {
		var b store.Batch
		for _, k := range part {
			b.Remove(k)
		}
		head := func(book int) []any { return []any{a.nonces[book], stamp.String(), ms} }
		groups, replies, err := c.runGrouped(ctx, fenceScript, "", &b, everything(&b), head,
			func(args []any, _ store.Entry) []any { return args })
		if Again(err) {
			return removed, err
		}
		if err != nil {
			return removed, fmt.Errorf("fence %d keys, the first is %s: %w", len(keys), keys[0], err)
		}
		for i, g := range groups {
			for _, pos := range replies[i][lookedUpHead:] {
				removed = append(removed, part[g.at[pos-1]])
			}
		}
	}
	return removed, nil
}

// pruneStep is how many fields one step of pruning looks at.
const pruneStep = 250

// Prune removes the fields of keys that no write can be older than any more. It
// returns how many there were.
func (c *Cache) Prune(ctx context.Context) (removed int64, err error) {
	for n := range c.names.Books() {
		for cursor := "0"; ; {
			cmds, err := c.run(ctx, pruneScript, call{[]string{c.names.Book(n)},
				[]any{cursor, c.lifetime().Milliseconds(), pruneStep}})
			if err != nil {
				return removed, fmt.Errorf("prune book %s: %w", c.names.Book(n), err)
			}
			reply, err := cmds[0].Slice()
			if err != nil {
				return removed, fmt.Errorf("prune book %s: %w", c.names.Book(n), err)
			}
			removed += reply[1].(int64)
			if cursor = reply[0].(string); cursor == "0" {
				break
			}
		}
	}
	return removed, nil
}

// PruneEvery is how often Prune is worth its while.
func (c *Cache) PruneEvery() time.Duration { return c.lifetime() / 10 }
