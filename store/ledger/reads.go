package ledger

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stokerhq/stoker/store"
)

// readsLife is how long the count of reads is kept where nobody counts on.
const readsLife = 30 * 24 * time.Hour

func (l *Ledger) lookups() string { return l.namespace.Key("lookups") }
func (l *Ledger) reads() string   { return l.namespace.Key("reads") }

// openLookups opens the count of Stoker's own lookups, and says whether it was closed.
var openLookups = redis.NewScript(`local closed = redis.call('HSETNX', KEYS[1], 'hits', 0)
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return closed`)

// addLookups adds to the count, if it is open: else nobody asks for it, and no key is left where none was.
var addLookups = redis.NewScript(`if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
redis.call('HINCRBY', KEYS[1], 'hits', ARGV[1])
redis.call('HINCRBY', KEYS[1], 'misses', ARGV[2])
if ARGV[3] ~= '' then redis.call('HSET', KEYS[1], 'blind', ARGV[3]) end
return 1`)

// OpenLookups has all processes count what they look up in the servers of the cache. closed reports whether they did
// not until now.
func (l *Ledger) OpenLookups(ctx context.Context) (closed bool, err error) {
	n, err := openLookups.Run(ctx, l.c, []string{l.lookups()}, readsLife.Milliseconds()).Int()
	if err != nil {
		return false, fmt.Errorf("begin to count Stoker's own lookups: %w", err)
	}
	return n == 1, nil
}

// AddLookups adds what a process has looked up in the servers of the cache, if somebody counts that (OpenLookups).
func (l *Ledger) AddLookups(ctx context.Context, n store.Lookups) error {
	blind := ""
	if !n.Blind.IsZero() {
		blind = strconv.FormatInt(n.Blind.UnixMilli(), 10)
	}
	if err := addLookups.Run(ctx, l.c, []string{l.lookups()}, n.Hits, n.Misses, blind).Err(); err != nil {
		return fmt.Errorf("count Stoker's own lookups: %w", err)
	}
	return nil
}

// Lookups returns what all processes have looked up since there is a count.
func (l *Ledger) Lookups(ctx context.Context) (n store.Lookups, err error) {
	fields, err := l.c.HMGet(ctx, l.lookups(), "hits", "misses", "blind").Result()
	if err != nil {
		return n, fmt.Errorf("read Stoker's own lookups: %w", err)
	}
	var numbers [3]int64
	for i, f := range fields {
		text, is := f.(string)
		if !is {
			continue
		}
		if numbers[i], err = strconv.ParseInt(text, 10, 64); err != nil {
			return n, fmt.Errorf("read Stoker's own lookups: %w", err)
		}
	}
	n.Hits, n.Misses = numbers[0], numbers[1]
	if numbers[2] > 0 {
		n.Blind = time.UnixMilli(numbers[2])
	}
	return n, nil
}

// KeepReads keeps what is known of the readers' lookups, with what the next look needs.
func (l *Ledger) KeepReads(ctx context.Context, r store.Reads) error {
	b, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("encode the count of reads: %w", err)
	}
	if err := l.c.Set(ctx, l.reads(), b, readsLife).Err(); err != nil {
		return fmt.Errorf("keep the count of reads: %w", err)
	}
	return nil
}

// Reads returns what is known of the readers' lookups; the zero value where nobody has counted yet.
func (l *Ledger) Reads(ctx context.Context) (r store.Reads, err error) {
	if _, err := decoded(l.c.Get(ctx, l.reads()), &r); err != nil {
		return store.Reads{}, fmt.Errorf("read the count of reads: %w", err)
	}
	return r, nil
}
