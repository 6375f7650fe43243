package cache

import (
	"context"
	"time"

	"github.com/redis/go-redis/v9"
)

// What tests from outside reach in for.

// Expire has the deadline of what was armed pass.
func (a *Armed) Expire() { a.deadline = a.At.UnixMilli() - 1 }

// ByScript has a run write by script alone.
func (cl *Claim) ByScript() { cl.conns = nil }

// SetLife makes a life shorter than any in earnest.
func (c *Cache) SetLife(life time.Duration) { c.life.Store(int64(life)) }

// Life is how long the fields of a book are kept.
func (c *Cache) Life() time.Duration { return c.lifetime() }

// SetFlagless has scripts run as on a Redis that knows no flags of theirs.
func (c *Cache) SetFlagless() { c.flagless.Store(true) }

// Flagless reports whether they do.
func (c *Cache) Flagless() bool { return c.flagless.Load() }

// Book is the key of the one book.
func (c *Cache) Book() string { return c.names.Book(0) }

// RunScript executes a script of a test's own once for each key.
func (c *Cache) RunScript(ctx context.Context, text string, keys ...string) ([]*redis.Cmd, error) {
	calls := make([]call, len(keys))
	for i, k := range keys {
		calls[i] = call{keys: []string{k}}
	}
	return c.run(ctx, newScript("test", text), calls...)
}
