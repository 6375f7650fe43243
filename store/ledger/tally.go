package ledger

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/internal/redisjson"
)

// missedScript keeps, beside the count, up to which tick it goes. One script, so
// that an answer that was lost can be asked for again.
var missedScript = redis.NewScript(`if tonumber(ARGV[1]) <= tonumber(redis.call('HGET', KEYS[1], 'missed_until') or 0) then return 0 end
redis.call('HSET', KEYS[1], 'missed_until', ARGV[1])
return redis.call('HINCRBY', KEYS[1], 'missed', ARGV[2])`)

// Missed counts n ticks, up to the one due at last, that came too late or could
// not be enqueued in time. Replicas that tell of the same ticks are heard once.
func (l *Ledger) Missed(ctx context.Context, job string, last time.Time, n int64) error {
	if err := missedScript.Run(ctx, l.c, []string{l.key("tally", job)}, last.Unix(), n).Err(); err != nil {
		return fmt.Errorf("count missed ticks of %s: %w", job, err)
	}
	return nil
}

// Skipped counts a tick that came while the last run was still going.
func (l *Ledger) Skipped(ctx context.Context, job string) error {
	return l.count(ctx, job, "skipped", 1)
}

func (l *Ledger) count(ctx context.Context, job, field string, n int64) error {
	if err := l.c.HIncrBy(ctx, l.key("tally", job), field, n).Err(); err != nil {
		return fmt.Errorf("count %s of %s: %w", field, job, err)
	}
	return nil
}

// Refreshed counts a refresh of so many keys, or remembers why it failed.
func (l *Ledger) Refreshed(ctx context.Context, job string, keys int, failure error) error {
	k, now := l.key("tally", job), time.Now().UTC().Format(time.RFC3339Nano)
	_, err := l.c.Pipelined(ctx, func(p redis.Pipeliner) error {
		if failure != nil {
			p.HSet(ctx, k, "refresh_error", failure.Error(), "refresh_failed", now)
			return nil
		}
		p.HIncrBy(ctx, k, "refreshes", 1)
		p.HIncrBy(ctx, k, "refreshed", int64(keys))
		p.HSet(ctx, k, "last_refresh", now)
		p.HDel(ctx, k, "refresh_error", "refresh_failed")
		return nil
	})
	if err != nil {
		return fmt.Errorf("count a refresh of %s: %w", job, err)
	}
	return nil
}

// Tally returns what was counted for a job.
func (l *Ledger) Tally(ctx context.Context, job string) (store.Tally, error) {
	h, err := l.c.HGetAll(ctx, l.key("tally", job)).Result()
	if err != nil {
		return store.Tally{}, fmt.Errorf("read the tally of %s: %w", job, err)
	}
	t := store.Tally{RefreshError: h["refresh_error"]}
	for field, to := range counted(&t) {
		if h[field] == "" {
			continue
		}
		if *to, err = strconv.ParseInt(h[field], 10, 64); err != nil {
			return t, fmt.Errorf("read the tally of %s: %w", job, err)
		}
	}
	for field, to := range timed(&t) {
		if h[field] == "" {
			continue
		}
		if *to, err = time.Parse(time.RFC3339Nano, h[field]); err != nil {
			return t, fmt.Errorf("read the tally of %s: %w", job, err)
		}
	}
	return t, nil
}

// counted and timed are where the fields of a tally go.
func counted(t *store.Tally) map[string]*int64 {
	return map[string]*int64{
		"missed": &t.Missed, "skipped": &t.Skipped, "refreshes": &t.Refreshes, "refreshed": &t.Refreshed,
		"audit_checked": &t.Audit.Checked, "audit_stale": &t.Audit.Stale, "audit_missing": &t.Audit.Missing,
		"audit_repaired": &t.Audit.Repaired,
	}
}

func timed(t *store.Tally) map[string]*time.Time {
	return map[string]*time.Time{
		"last_refresh": &t.LastRefresh, "refresh_failed": &t.RefreshFailed,
		"audit_since": &t.Audit.Since, "audit_confirm": &t.Audit.Confirm, "audit_last_find": &t.Audit.LastFind,
	}
}

// Audited adds what an audit has counted since its last report. Confirm replaces the
// one before if it is set; the other times are those of this moment.
func (l *Ledger) Audited(ctx context.Context, job string, a store.Audit) error {
	k, now := l.key("tally", job), time.Now().UTC().Format(time.RFC3339Nano)
	_, err := l.c.Pipelined(ctx, func(p redis.Pipeliner) error {
		for field, n := range map[string]int64{"checked": a.Checked, "stale": a.Stale, "missing": a.Missing,
			"repaired": a.Repaired} {
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

// pendingTTL outlives a few reports: a follower that died stops showing what it could not load.
const pendingTTL = 5 * time.Second

// ReportRefreshes counts what the change feed did since its last report, and keeps for a few
// seconds what it could not do yet.
func (l *Ledger) ReportRefreshes(ctx context.Context, job string, r store.RefreshReport) error {
	pending, err := json.Marshal(store.Pending{Keys: r.Pending, Since: r.Oldest.UTC(), Error: r.Error})
	if err != nil {
		return fmt.Errorf("encode the pending changes of %s: %w", job, err)
	}
	tally, now := l.key("tally", job), time.Now().UTC().Format(time.RFC3339Nano)
	// no transaction: in Cluster the keys lie on several nodes
	_, err = l.c.Pipelined(ctx, func(p redis.Pipeliner) error {
		if r.Refreshes > 0 {
			p.HIncrBy(ctx, tally, "refreshes", int64(r.Refreshes))
			p.HIncrBy(ctx, tally, "refreshed", int64(r.Keys))
			p.HSet(ctx, tally, "last_refresh", now)
		}
		switch {
		case r.Error != "":
			p.HSet(ctx, tally, "refresh_error", r.Error, "refresh_failed", now)
			p.Set(ctx, l.key("pending", job), pending, pendingTTL)
		case r.Refreshes > 0:
			p.HDel(ctx, tally, "refresh_error", "refresh_failed")
			p.Del(ctx, l.key("pending", job))
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
	return redisjson.Get[store.Pending](ctx, l.c, l.key("pending", job))
}
