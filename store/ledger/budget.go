package ledger

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

// Runs of all daemons share the budget of the database. Each says while it goes on that it does; one whose worker was
// killed no longer counts when its time is over. What is set at run time stands beside it, for all daemons:
//
//	stoker:budget:#runs   hash    ID of a run -> until when it counts, ms of Redis' clock
//	stoker:budget:#share  string  the share in place of the spec's
const (
	budgetRuns  = "#runs"
	budgetShare = "#share"
)

// budgetLife is how long the hash stays after the last run.
const budgetLife = time.Minute

var budgetScript = redis.NewScript(`local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
redis.call('HSET', KEYS[1], ARGV[1], now + ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
local all, n = redis.call('HGETALL', KEYS[1]), 0
for i = 1, #all, 2 do
  if tonumber(all[i + 1]) > now then n = n + 1 else redis.call('HDEL', KEYS[1], all[i]) end
end
return n`)

// TakePart says that a run takes part in the budget for ttl from now, and returns how many do, and the share that was
// set at run time; "" if none was.
func (l *Ledger) TakePart(ctx context.Context, id string, ttl time.Duration) (runs int, share string, err error) {
	runs, err = budgetScript.Run(ctx, l.c, []string{l.key("budget", budgetRuns)}, id, ttl.Milliseconds(),
		budgetLife.Milliseconds()).Int()
	if err != nil {
		return 0, "", fmt.Errorf("take part in the budget: %w", err)
	}
	share, err = l.BudgetShare(ctx)
	return runs, share, err
}

// EndPart says that a run takes part no more.
func (l *Ledger) EndPart(ctx context.Context, id string) error {
	if err := l.c.HDel(ctx, l.key("budget", budgetRuns), id).Err(); err != nil {
		return fmt.Errorf("end a part in the budget: %w", err)
	}
	return nil
}

// BudgetShare is the share that was set at run time; "" if none was.
func (l *Ledger) BudgetShare(ctx context.Context) (string, error) {
	share, err := l.c.Get(ctx, l.key("budget", budgetShare)).Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		return "", fmt.Errorf("read the budget that is set: %w", err)
	}
	return share, nil
}

// SetBudgetShare sets the share for all daemons, in place of the spec's; "" has that count again.
func (l *Ledger) SetBudgetShare(ctx context.Context, share string) error {
	key := l.key("budget", budgetShare)
	err := l.c.Set(ctx, key, share, 0).Err()
	if share == "" {
		err = l.c.Del(ctx, key).Err()
	}
	if err != nil {
		return fmt.Errorf("set the budget: %w", err)
	}
	return nil
}
