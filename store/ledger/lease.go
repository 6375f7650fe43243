package ledger

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

// A lease says which worker runs a job now, so that two runs of one job do not
// do the same work twice. It is a matter of efficiency only: a worker that lost
// it unnoticed does no harm.

// Lease takes the job's lease for ttl, if it is free.
func (l *Ledger) Lease(ctx context.Context, job, holder string, ttl time.Duration) (bool, error) {
	err := l.c.SetArgs(ctx, l.key("lease", job), holder, redis.SetArgs{Mode: "NX", TTL: ttl}).Err()
	if errors.Is(err, redis.Nil) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("take the lease of %s: %w", job, err)
	}
	return true, nil
}

var (
	renewScript = redis.NewScript(`local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1`)
	dropScript = redis.NewScript(`if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0`)
)

// Renew extends the lease that holder has. One that has lapsed, or that Redis has lost,
// holder takes again, unless somebody else was first: then it reports false.
func (l *Ledger) Renew(ctx context.Context, job, holder string, ttl time.Duration) (bool, error) {
	n, err := renewScript.Run(ctx, l.c, []string{l.key("lease", job)}, holder, ttl.Milliseconds()).Int()
	if err != nil {
		return false, fmt.Errorf("renew the lease of %s: %w", job, err)
	}
	return n == 1, nil
}

// Release gives a lease back, if holder still has it.
func (l *Ledger) Release(ctx context.Context, job, holder string) error {
	if err := dropScript.Run(ctx, l.c, []string{l.key("lease", job)}, holder).Err(); err != nil {
		return fmt.Errorf("release the lease of %s: %w", job, err)
	}
	return nil
}

// Holder returns who holds the job's lease and how much of it is left; an empty
// holder is empty: no one holds it.
func (l *Ledger) Holder(ctx context.Context, job string) (holder string, left time.Duration, err error) {
	var who *redis.StringCmd
	var ttl *redis.DurationCmd
	_, err = l.c.Pipelined(ctx, func(p redis.Pipeliner) error {
		who, ttl = p.Get(ctx, l.key("lease", job)), p.PTTL(ctx, l.key("lease", job))
		return nil
	})
	if errors.Is(err, redis.Nil) {
		return "", 0, nil
	}
	if err != nil {
		return "", 0, fmt.Errorf("look at the lease of %s: %w", job, err)
	}
	return who.Val(), ttl.Val(), nil
}
