package cache

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stokerhq/stoker/store"
)

// pendingTTL outlives a few reports: a follower that died stops showing what it could not load.
const pendingTTL = 5 * time.Second

// ReportRefreshes counts what the change feed did since its last report, and keeps for a few
// seconds what it could not do yet.
func (l *Ledger) ReportRefreshes(ctx context.Context, job string, r store.RefreshReport) error {
	pending, err := json.Marshal(store.Pending{Keys: r.Pending, Since: r.Oldest.UTC(), Error: r.Error})
	if err != nil {
		return fmt.Errorf("encode the pending changes of %s: %w", job, err)
	}
	tally, now := key("tally", job), time.Now().UTC().Format(time.RFC3339Nano)
	_, err = l.c.Pipelined(ctx, func(p redis.Pipeliner) error { // no transaction: in Cluster the keys lie on several nodes
		if r.Refreshes > 0 {
			p.HIncrBy(ctx, tally, "refreshes", int64(r.Refreshes))
			p.HIncrBy(ctx, tally, "refreshed", int64(r.Keys))
			p.HSet(ctx, tally, "last_refresh", now)
		}
		switch {
		case r.Error != "":
			p.HSet(ctx, tally, "refresh_error", r.Error, "refresh_failed", now)
			p.Set(ctx, key("pending", job), pending, pendingTTL)
		case r.Refreshes > 0:
			p.HDel(ctx, tally, "refresh_error", "refresh_failed")
			p.Del(ctx, key("pending", job))
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("count the refreshes of %s: %w", job, err)
	}
	return nil
}

// Pending returns what the change feed has reported that it could not load yet, if it did so
// in the last few seconds.
func (l *Ledger) Pending(ctx context.Context, job string) (store.Pending, bool, error) {
	return get[store.Pending](ctx, l.c, key("pending", job))
}
