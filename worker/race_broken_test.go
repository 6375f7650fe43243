package worker

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/cache"
)

// plainPut writes whatever it is given.
type plainPut struct {
	Cache
	w *race
}

func (c plainPut) Put(ctx context.Context, _ *cache.Claim, b *store.Batch) (out cache.Outcome, err error) {
	pipe := c.w.r.redis.Pipeline()
	for i := range b.Len() {
		switch e := b.Entry(i); e.Op {
		case store.Remove:
			pipe.Unlink(ctx, string(e.Key))
			out.Removed++
		case store.Write:
			pipe.Set(ctx, string(e.Key), string(e.Value), e.TTL)
			out.Written++
		default:
			out.Kept++
		}
	}
	_, err = pipe.Exec(ctx)
	return out, err
}

// noFence fences nothing.
type noFence struct{ Cache }

func (noFence) Fence(context.Context, *cache.Armed, store.Stamp, [][]byte, time.Duration) ([][]byte, error) {
	return nil, nil
}

// longGrace leaves readable for longer what it fences.
type longGrace struct{ Cache }

func (c longGrace) Fence(ctx context.Context, a *cache.Armed, s store.Stamp, keys [][]byte,
	grace time.Duration) ([][]byte, error) {
	return c.Cache.Fence(ctx, a, s, keys, grace+time.Second)
}

// oneStamp takes all snapshots for one.
type oneStamp struct{ Cache }

func (c oneStamp) Stamp(ctx context.Context, a *cache.Armed, s store.Snapshot) (store.Stamp, error) {
	stamp, err := c.Cache.Stamp(ctx, a, s)
	stamp.Clock = 1
	return stamp, err
}

// lateArm arms when it has read already, and so does not notice that the book was
// lost meanwhile, which it often is.
type lateArm struct {
	Cache
	direct *cache.Cache
	w      *race
}

func (c lateArm) ClaimRun(ctx context.Context, a *cache.Armed, job *jobs.Job, s store.Stamp, id string) (*cache.Claim,
	error) {
	if rand.IntN(2) == 0 {
		c.w.r.redis.Unlink(ctx, raceBook)
	}
	c.direct.Disarm(a)
	fresh, err := c.direct.Arm(ctx)
	if err != nil {
		return nil, err
	}
	return c.Cache.ClaimRun(ctx, fresh, job, s, id)
}

// trusting has every run believe what the last complete one remembers, whatever
// has written since.
type trusting struct {
	Cache
	w *race
}

const raceBook = "stoker:{cache}:book"

func (c *trusting) ClaimRun(ctx context.Context, a *cache.Armed, job *jobs.Job, s store.Stamp, id string) (*cache.Claim,
	error) {
	if last, ok, err := c.Cache.Manifest(ctx, job.Name); ok && err == nil &&
		c.w.r.redis.Exists(ctx, raceBook).Val() == 1 {
		c.w.r.redis.HSet(ctx, raceBook, "#w:"+job.Name, last.ID)
	}
	return c.Cache.ClaimRun(ctx, a, job, s, id)
}

func (c *trusting) Manifest(ctx context.Context, job string) (cache.Manifest, bool, error) {
	m, ok, err := c.Cache.Manifest(ctx, job)
	m.Nonce = c.w.r.redis.HGet(ctx, raceBook, "#n").Val()
	if pruned, err := strconv.ParseInt(fmt.Sprint(c.w.r.redis.HGet(ctx, raceBook, "#p").Val()), 10, 64); err == nil {
		m.Armed = pruned + 1
	}
	return m, ok, err
}
