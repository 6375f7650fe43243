package cache

import (
	"errors"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stokerhq/stoker/store/testserver"
)

// Broken by: evictions of a section that is not asked for; a user without INFO that reads as zero.
func TestMemory(t *testing.T) {
	server, err := testserver.StartRedis(t.Context(), "--maxmemory", "3mb", "--maxmemory-policy", "allkeys-lru")
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	}()
	client := redis.NewClient(&redis.Options{Addr: server.Addr()})
	defer client.Close()
	c := New(client, time.Minute)
	m, err := c.Memory(t.Context())
	if err != nil || m.Used == 0 || m.Max != 3<<20 || m.Evicted != 0 {
		t.Errorf("%+v, %v", m, err)
	}
	for i := range 60 {
		if err := client.Set(t.Context(), string(rune('a'+i)), make([]byte, 100_000), 0).Err(); err != nil {
			t.Fatal(err)
		}
	}
	if m, err := c.Memory(t.Context()); err != nil || m.Evicted == 0 {
		t.Errorf("after an eviction: %+v, %v", m, err)
	}
	if err := client.Do(t.Context(), "ACL", "SETUSER", "blind", "on", "nopass", "~*", "+@all",
		"-info").Err(); err != nil {
		t.Fatal(err)
	}
	blind := redis.NewClient(&redis.Options{Addr: server.Addr(), Username: "blind", Password: "x"})
	defer blind.Close()
	if m, err := New(blind, time.Minute).Memory(t.Context()); !errors.Is(err, ErrNoInfo) {
		t.Errorf("without the right: %+v, %v", m, err)
	}
}
