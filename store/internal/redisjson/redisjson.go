// Package redisjson keeps one value as JSON under one Redis key.
package redisjson

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

// Get reads the value of a key; ok is false if there is no such key.
func Get[T any](ctx context.Context, c redis.UniversalClient, key string) (v T, ok bool, err error) {
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

// Set writes the value of a key. A ttl of 0 keeps it for good.
func Set(ctx context.Context, c redis.UniversalClient, key string, v any, ttl time.Duration) error {
	b, err := json.Marshal(v)
	if err == nil {
		err = c.Set(ctx, key, b, ttl).Err()
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", key, err)
	}
	return nil
}
