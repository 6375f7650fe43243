package cache_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/cache"
	"github.com/stokerhq/stoker/store/storetest"
)

// A probe is refused for whatever a write is refused for, and leaves nothing behind. Broken by: a probe that only asks
// whether the server answers, and one that writes.
func TestProbe(t *testing.T) {
	t.Parallel()
	do := func(c redis.UniversalClient, args ...any) {
		t.Helper()
		if err := c.Do(t.Context(), args...).Err(); err != nil {
			t.Fatalf("%v: %v", args, err)
		}
	}
	for code, refuse := range map[string]func(c redis.UniversalClient){
		"":           func(redis.UniversalClient) {},
		"NOREPLICAS": func(c redis.UniversalClient) { do(c, "config", "set", "min-replicas-to-write", 1) },
		"OOM":        func(c redis.UniversalClient) { do(c, "config", "set", "maxmemory", 1) },
		"READONLY":   func(c redis.UniversalClient) { do(c, "replicaof", "127.0.0.1", 1) },
		"NOPERM":     func(c redis.UniversalClient) { do(c, "acl", "setuser", "default", "-set") },
		"MISCONF": func(c redis.UniversalClient) {
			do(c, "config", "set", "dir", "/proc") // no dump can be written there
			do(c, "bgsave")
			time.Sleep(time.Second)
		},
		"BUSY": func(c redis.UniversalClient) {
			script := "local t = redis.call('TIME')[1]; while redis.call('TIME')[1] - t < 8 do end"
			go c.Eval(context.Background(), script, nil)
			time.Sleep(time.Second)
		},
	} {
		t.Run(fmt.Sprintf("code %q", code), func(t *testing.T) {
			t.Parallel()
			server := storetest.OwnRedis(t, "--enable-protected-configs", "yes", "--save", "3600 1",
				"--busy-reply-threshold", "100")
			c := client(t, server.URL(0))
			if err := cache.Probe(t.Context(), c, ""); err != nil {
				t.Fatal(err)
			}
			if n := c.DBSize(t.Context()).Val(); n > 0 {
				t.Errorf("the probe has left %d keys", n)
			}
			refuse(c)
			refusal, is := store.RefusalIn(cache.Probe(t.Context(), c, ""))
			if is != (code != "") || refusal.Code != code {
				t.Errorf("got %+v, %v", refusal, is)
			}
		})
	}
}
