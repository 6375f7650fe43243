package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/internal/redisjson"
)

// feedName stands in place of a job in the key of what the follower of the change feed says; no job has it.
const feedName = "#changes"

// freshnessTTL is how long that is kept. What was true of a moment stays true of it.
const freshnessTTL = 10 * time.Minute

// ReportFreshness keeps what the follower of the change feed knows of how fresh values are.
func (l *Ledger) ReportFreshness(ctx context.Context, f store.Freshness) error {
	return redisjson.Set(ctx, l.c, l.key("freshness", feedName), f, freshnessTTL)
}

// Freshness returns what the follower has said last, and the records of the jobs' last runs, in the order of names. It
// asks for all of it at once.
func (l *Ledger) Freshness(ctx context.Context, names []string) (f store.Freshness, last []store.LastRuns, err error) {
	var said *redis.StringCmd
	complete, newest := make([]*redis.StringCmd, len(names)), make([]*redis.StringSliceCmd, len(names))
	_, err = l.c.Pipelined(ctx, func(p redis.Pipeliner) error {
		said = p.Get(ctx, l.key("freshness", feedName))
		for i, job := range names {
			complete[i], newest[i] = p.Get(ctx, l.key("last", job)), p.LRange(ctx, l.key("runs", job), 0, 0)
		}
		return nil
	})
	if err != nil && !errors.Is(err, redis.Nil) {
		return f, nil, fmt.Errorf("read how fresh the jobs are: %w", err)
	}
	if _, err := decoded(said, &f); err != nil {
		return f, nil, fmt.Errorf("what is said of how fresh the jobs are: %w", err)
	}
	last = make([]store.LastRuns, len(names))
	for i, job := range names {
		var run store.Record
		has, err := decoded(complete[i], &last[i].Complete)
		for _, text := range newest[i].Val() {
			err = errors.Join(err, json.Unmarshal([]byte(text), &run))
		}
		if err != nil {
			return f, nil, fmt.Errorf("the last runs of %s: %w", job, err)
		}
		last[i].Has, last[i].Failed = has, run.State == store.StateFailed
	}
	return f, last, nil
}

// decoded reads the JSON of a reply, if there is any.
func decoded(cmd *redis.StringCmd, into any) (has bool, err error) {
	b, err := cmd.Bytes()
	if errors.Is(err, redis.Nil) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, json.Unmarshal(b, into)
}

// budgetState is the field of the account of an objective that says how it stands.
const budgetState = "state"

// Budget returns the state of the account of a job's objective, and the fields that are kept beside it; "" where
// there is none.
func (l *Ledger) Budget(ctx context.Context, job string, fields ...string) (state string, kept []string, err error) {
	values, err := l.c.HMGet(ctx, l.key("objective", job), append([]string{budgetState}, fields...)...).Result()
	if err != nil {
		return "", nil, fmt.Errorf("read the error budget of %s: %w", job, err)
	}
	texts := make([]string, len(values))
	for i, v := range values {
		texts[i], _ = v.(string) // nil: there is none
	}
	return texts[0], texts[1:], nil
}

// keepBudget changes an account if it is as it was read. Two replicas that both believe to be the one that counts
// cannot count the same time twice.
var keepBudget = redis.NewScript(`if (redis.call('HGET', KEYS[1], ARGV[1]) or '') ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
local sets = tonumber(ARGV[5])
for i = 6, 5 + 2 * sets, 2 do redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
for i = 6 + 2 * sets, #ARGV do redis.call('HDEL', KEYS[1], ARGV[i]) end
redis.call('PEXPIRE', KEYS[1], ARGV[4])
return 1`)

// KeepBudget changes the account of a job's objective. It reports false if another replica has changed it.
func (l *Ledger) KeepBudget(ctx context.Context, job string, c store.BudgetChange) (bool, error) {
	args := []any{budgetState, c.Before, c.After, c.Keep.Milliseconds(), len(c.Set)}
	for field, value := range c.Set {
		args = append(args, field, value)
	}
	for _, field := range c.Drop {
		args = append(args, field)
	}
	n, err := keepBudget.Run(ctx, l.c, []string{l.key("objective", job)}, args...).Int()
	if err != nil {
		return false, fmt.Errorf("keep the error budget of %s: %w", job, err)
	}
	return n == 1, nil
}

// DropBudgets forgets the accounts of jobs that have no objective any more.
func (l *Ledger) DropBudgets(ctx context.Context, names []string) error {
	_, err := l.c.Pipelined(ctx, func(p redis.Pipeliner) error { // one command a key: in Cluster they lie apart
		for _, job := range names {
			p.Del(ctx, l.key("objective", job))
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("forget error budgets: %w", err)
	}
	return nil
}
