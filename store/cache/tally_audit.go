package cache

import (
	"context"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stokerhq/stoker/store"
)

// Audited adds what an audit has counted since it said so last. Of its times
// Confirm takes the place of the one before, if it is set; the others are this
// moment's.
func (l *Ledger) Audited(ctx context.Context, job string, a store.Audit) error {
	k, now := key("tally", job), time.Now().UTC().Format(time.RFC3339Nano)
	_, err := l.c.Pipelined(ctx, func(p redis.Pipeliner) error {
		for field, n := range map[string]int64{"checked": a.Checked, "stale": a.Stale, "missing": a.Missing, "repaired": a.Repaired} {
			if n != 0 {
				p.HIncrBy(ctx, k, "audit_"+field, n)
			}
		}
		p.HSetNX(ctx, k, "audit_since", now)
		if !a.Confirm.IsZero() {
			p.HSet(ctx, k, "audit_confirm", a.Confirm.UTC().Format(time.RFC3339Nano))
		}
		if a.Stale+a.Missing > 0 {
			p.HSet(ctx, k, "audit_last_find", now)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("count an audit of %s: %w", job, err)
	}
	return nil
}
