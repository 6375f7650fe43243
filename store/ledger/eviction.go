package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stokerhq/stoker/store"
)

// evictionLife is how long an eviction is remembered, and how long one that goes on counts after it was last said.
const evictionLife = time.Hour

// eviction names the record of the last eviction of the cache.
func (l *Ledger) eviction() string { return l.namespace.Key("eviction") }

// KeepEviction keeps what is known of the eviction that goes on, or was the last one.
func (l *Ledger) KeepEviction(ctx context.Context, e store.Eviction) error {
	b, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("encode an eviction: %w", err)
	}
	if err := l.c.Set(ctx, l.eviction(), b, evictionLife).Err(); err != nil {
		return fmt.Errorf("keep an eviction: %w", err)
	}
	return nil
}

// silence is how old what was last said of an eviction that goes on may be: who says it may have been killed.
const silence = time.Minute

// Eviction returns the eviction that goes on, or the last one of a while; ok is false if there is none.
func (l *Ledger) Eviction(ctx context.Context) (e store.Eviction, ok bool, err error) {
	b, err := l.c.Get(ctx, l.eviction()).Bytes()
	if errors.Is(err, redis.Nil) {
		return e, false, nil
	}
	if err != nil {
		return e, false, fmt.Errorf("read the last eviction: %w", err)
	}
	if err := json.Unmarshal(b, &e); err != nil {
		return e, false, nil // a newer version's
	}
	return e, !e.Until.IsZero() || time.Since(e.Last) < silence, nil
}
