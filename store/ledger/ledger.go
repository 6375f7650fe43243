// Package ledger keeps the history of jobs beside the queue: run records, progress, tallies, samples for
// warmth, and the leases that keep two runs of one job apart. Nothing in it decides whether a value is
// right: a ledger that is lost costs work, not correctness.
package ledger

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/internal/redisjson"
)

// Ledger keeps what is known of runs, in the Redis where Asynq lives:
//
//	stoker:runs:<job>    list    the last records, newest first
//	stoker:last:<job>    string  the record of the last complete run
//	stoker:live:<job>    string  progress of the run that goes on now; short TTL
//	stoker:tally:<job>   hash    what is counted beside runs
//	stoker:sample:<job>  string  some keys of the last complete run, for warmth
//	stoker:pending:<job> string  changed keys that could not be loaded yet; short TTL
//	stoker:lease:<job>   string  the worker that runs the job now; short TTL
//	stoker:objective:<job> hash  the account of its objective: see web/objective
//	stoker:budget:#runs, stoker:budget:#share  what runs may take of the database's time
//	stoker:freshness:#changes    string  what the follower of the change feed knows of how fresh jobs are
//	stoker:lookups       hash    what Stoker's processes look up in the servers of the cache
//	stoker:reads         string  what readers look up there: see web/reads
//
// In a namespace, stoker:ns:<namespace>: is what they begin with.
//
// It is safe for concurrent use.
type Ledger struct {
	c         redis.UniversalClient
	namespace jobs.Namespace
}

// New returns the ledger behind a client, which the caller closes, without a namespace.
func New(c redis.UniversalClient) *Ledger { return NewIn("", c) }

// NewIn is New for the ledger of a namespace.
func NewIn(n jobs.Namespace, c redis.UniversalClient) *Ledger { return &Ledger{c, n} }

// KeepRuns is how many records are kept a job.
const KeepRuns = 200

// liveTTL outlives a few progress reports: a worker that died stops showing.
const liveTTL = 5 * time.Second

func (l *Ledger) key(kind, job string) string { return l.namespace.Key(kind + ":" + job) }

// Add keeps the record of a run that ended.
func (l *Ledger) Add(ctx context.Context, r store.Record) error {
	b, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("encode the record of a run of %s: %w", r.Job, err)
	}
	pipe := l.c.Pipeline() // no transaction: in Cluster the keys lie on several nodes
	pipe.LPush(ctx, l.key("runs", r.Job), b)
	pipe.LTrim(ctx, l.key("runs", r.Job), 0, KeepRuns-1)
	if r.State == store.StateOK && !r.Removal {
		pipe.Set(ctx, l.key("last", r.Job), b, 0)
	}
	pipe.Del(ctx, l.key("live", r.Job))
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
	texts, err := l.c.LRange(ctx, l.key("runs", job), 0, int64(n)-1).Result()
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
	return redisjson.Get[store.Record](ctx, l.c, l.key("last", job))
}

// Live returns the progress of the run of job that goes on now, if one does.
func (l *Ledger) Live(ctx context.Context, job string) (store.Progress, bool, error) {
	return redisjson.Get[store.Progress](ctx, l.c, l.key("live", job))
}

// Report publishes the progress of a run.
func (l *Ledger) Report(ctx context.Context, p store.Progress) error {
	return redisjson.Set(ctx, l.c, l.key("live", p.Job), p, liveTTL)
}

// KeepSample keeps some keys of a complete run, for Sampler.
func (l *Ledger) KeepSample(ctx context.Context, job string, keys []string) error {
	return redisjson.Set(ctx, l.c, l.key("sample", job), keys, 0)
}

// Sample returns the keys that KeepSample kept.
func (l *Ledger) Sample(ctx context.Context, job string) ([]string, error) {
	keys, _, err := redisjson.Get[[]string](ctx, l.c, l.key("sample", job))
	return keys, err
}

// Sampler measures warmth: the share of a sample of the keys that the
// last complete run wrote that is in Redis right now.
type Sampler struct {
	Ledger *Ledger
	Cache  Presence
}

// Presence counts which keys are in Redis; store/cache does.
type Presence interface {
	Present(ctx context.Context, keys []string) (int, error)
}

// Warmth returns how many of the sampled keys of job are present, of how many.
// Nothing is sampled before the first complete run.
func (s Sampler) Warmth(ctx context.Context, job string) (present, sampled int, err error) {
	keys, err := s.Ledger.Sample(ctx, job)
	if err != nil {
		return 0, 0, err
	}
	present, err = s.Cache.Present(ctx, keys)
	return present, len(keys), err
}
