package cache

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stokerhq/stoker/store"
)

// Ledger is what is kept of runs, in the Redis where Asynq lives:
//
//	stoker:runs:<job>    list    the last records, newest first
//	stoker:last:<job>    string  the record of the last complete run
//	stoker:live:<job>    string  progress of the run that goes on now; short TTL
//	stoker:tally:<job>   hash    what is counted beside runs
//	stoker:sample:<job>  string  some keys of the last complete run, for warmth
//	stoker:lease:<job>   string  who runs the job now; short TTL
//
// It is safe for concurrent use.
type Ledger struct {
	c redis.UniversalClient
}

// NewLedger returns the ledger behind a client, which the caller closes.
func NewLedger(c redis.UniversalClient) *Ledger { return &Ledger{c} }

// KeepRuns is how many records are kept a job.
const KeepRuns = 200

// liveTTL outlives a few progress reports: a worker that died stops showing.
const liveTTL = 5 * time.Second

func key(kind, job string) string { return "stoker:" + kind + ":" + job }

// Add keeps the record of a run that ended.
func (l *Ledger) Add(ctx context.Context, r store.Record) error {
	b, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("encode the record of a run of %s: %w", r.Job, err)
	}
	pipe := l.c.Pipeline() // no transaction: in Cluster the keys lie on several nodes
	pipe.LPush(ctx, key("runs", r.Job), b)
	pipe.LTrim(ctx, key("runs", r.Job), 0, KeepRuns-1)
	if r.State == store.StateOK && !r.Removal {
		pipe.Set(ctx, key("last", r.Job), b, 0)
	}
	pipe.Del(ctx, key("live", r.Job))
	if _, err := pipe.Exec(ctx); err != nil {
		return fmt.Errorf("keep the record of a run of %s: %w", r.Job, err)
	}
	return nil
}

// Runs returns the last n records of a job, newest first.
func (l *Ledger) Runs(ctx context.Context, job string, n int) ([]store.Record, error) {
	if n <= 0 {
		return nil, nil // LRANGE would read an end of -1 as the last one
	}
	texts, err := l.c.LRange(ctx, key("runs", job), 0, int64(n)-1).Result()
	if err != nil {
		return nil, fmt.Errorf("read the runs of %s: %w", job, err)
	}
	records := make([]store.Record, len(texts))
	for i, text := range texts {
		if err := json.Unmarshal([]byte(text), &records[i]); err != nil {
			return nil, fmt.Errorf("decode run %d of %s: %w", i, job, err)
		}
	}
	return records, nil
}

// LastComplete returns the record of the last run that wrote every row.
func (l *Ledger) LastComplete(ctx context.Context, job string) (store.Record, bool, error) {
	return get[store.Record](ctx, l.c, key("last", job))
}

// Live returns the progress of the run of job that goes on now, if one does.
func (l *Ledger) Live(ctx context.Context, job string) (store.Progress, bool, error) {
	return get[store.Progress](ctx, l.c, key("live", job))
}

// Report publishes the progress of a run.
func (l *Ledger) Report(ctx context.Context, p store.Progress) error {
	return set(ctx, l.c, key("live", p.Job), p, liveTTL)
}

// KeepSample keeps some keys of a complete run, for Sampler.
func (l *Ledger) KeepSample(ctx context.Context, job string, keys []string) error {
	return set(ctx, l.c, key("sample", job), keys, 0)
}

// Sample returns the keys that KeepSample kept.
func (l *Ledger) Sample(ctx context.Context, job string) ([]string, error) {
	keys, _, err := get[[]string](ctx, l.c, key("sample", job))
	return keys, err
}

func get[T any](ctx context.Context, c redis.UniversalClient, key string) (v T, ok bool, err error) {
	b, err := c.Get(ctx, key).Bytes()
	if errors.Is(err, redis.Nil) {
		return v, false, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &v)
	}
	if err != nil {
		return v, false, fmt.Errorf("read %s: %w", key, err)
	}
	return v, true, nil
}

func set(ctx context.Context, c redis.UniversalClient, key string, v any, ttl time.Duration) error {
	b, err := json.Marshal(v)
	if err == nil {
		err = c.Set(ctx, key, b, ttl).Err()
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", key, err)
	}
	return nil
}
