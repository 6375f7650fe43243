package cache

import (
	"context"
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"

	"github.com/stokerhq/stoker/store"
)

// The number of the format stands in the record of the epoch. Who arms reads it with the epoch, so that nothing is
// written beside a format that is not known; and it is lost with what it tells of.

// formatOf is what errors call this Redis.
const formatOf = "cache"

// raiseFormat writes the number of our format, unless a higher one was written meanwhile.
func (c *Cache) raiseFormat(ctx context.Context) error {
	cmds, err := c.run(ctx, formatScript, call{[]string{c.names.Epoch()}, []any{store.Format}})
	if err != nil {
		return fmt.Errorf("note the format: %w", store.WithRemedy(err))
	}
	found, err := cmds[0].Text()
	if err != nil {
		return fmt.Errorf("note the format: %w", err)
	}
	_, err = store.CheckFormat(formatOf, found)
	return err
}

// CheckFormat refuses a cache whose format this version does not know, and returns the format that it has; "" for one
// without a number. It changes nothing.
func (c *Cache) CheckFormat(ctx context.Context) (found string, err error) {
	found, err = c.c.HGet(ctx, c.names.Epoch(), "format").Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		return "", fmt.Errorf("read the format: %w", err)
	}
	_, err = store.CheckFormat(formatOf, found)
	return found, err
}
