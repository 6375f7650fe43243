package queue

import (
	"context"
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"

	"github.com/stokerhq/stoker/store"
)

// formatOf is what errors call this Redis.
const formatOf = "queue"

// formatScript raises the number, unless a higher one is there. What is no number was written by who knows more.
var formatScript = redis.NewScript(`
local there, mine = redis.call('GET', KEYS[1]), tonumber(ARGV[1])
if there and (tonumber(there) or mine) >= mine then return there end
redis.call('SET', KEYS[1], mine)
return tostring(mine)`)

// formatKey holds the number of the format of all that the namespace keeps in this Redis.
func (q *Queues) formatKey() string { return q.namespace.Key("format") }

// RaiseFormat writes the number of our format, or refuses a higher one.
func (q *Queues) RaiseFormat(ctx context.Context) error {
	found, err := formatScript.Run(ctx, q.c, []string{q.formatKey()}, store.Format).Text()
	if err != nil {
		return fmt.Errorf("note the format: %w", store.WithRemedy(err))
	}
	_, err = store.CheckFormat(formatOf, found)
	return err
}

// CheckFormat refuses a Redis whose format this version does not know, and returns the format that it has; "" for one
// without a number. It changes nothing.
func (q *Queues) CheckFormat(ctx context.Context) (found string, err error) {
	found, err = q.c.Get(ctx, q.formatKey()).Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		return "", fmt.Errorf("read the format: %w", err)
	}
	_, err = store.CheckFormat(formatOf, found)
	return found, err
}
