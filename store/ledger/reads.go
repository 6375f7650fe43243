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

// AddLookups adds what a process has looked up in the servers of the cache.
func (l *Ledger) AddLookups(ctx context.Context, n store.Lookups) error {
	_, err := l.c.Pipelined(ctx, func(p redis.Pipeliner) error {
		if n.Hits != 0 {
			p.HIncrBy(ctx, l.lookups(), "hits", n.Hits)
		}
		if n.Misses != 0 {
			p.HIncrBy(ctx, l.lookups(), "misses", n.Misses)
		}
		if !n.Blind.IsZero() {
			p.HSet(ctx, l.lookups(), "blind", n.Blind.UnixMilli())
		}
		p.PExpire(ctx, l.lookups(), readsLife)
		return nil
	})
	if err != nil {
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
