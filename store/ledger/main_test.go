package ledger_test

import (
	"context"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store/cache"
	"github.com/stokerhq/stoker/store/storetest"
)

func TestMain(m *testing.M) {
	redis.SetLogger(silent{}) // it repeats what errors say
	storetest.Main(m)
}

type silent struct{}

func (silent) Printf(context.Context, string, ...any) {}

// client opens a URL as the commands do.
func client(t testing.TB, url string) redis.UniversalClient {
	t.Helper()
	c, err := cache.Open(jobs.NewSecret(url))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// pass makes time pass for every key of a database that expires, without waiting
// for it: what has less than d left is gone, the rest has d less.
func pass(t testing.TB, c redis.UniversalClient) func(time.Duration) {
	return func(d time.Duration) {
		t.Helper()
		ctx := context.Background()
		keys, err := c.Keys(ctx, "*").Result()
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range keys {
			left, err := c.PTTL(ctx, k).Result()
			switch {
			case err != nil:
			case left <= 0: // -1: does not expire
			case left <= d:
				err = c.Del(ctx, k).Err()
			default:
				err = c.PExpire(ctx, k, left-d).Err()
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
}
