package cache_test

import (
	"testing"
	"time"

	"github.com/stokerhq/stoker/store/cache"
	"github.com/stokerhq/stoker/store/storetest"
)

// A loss is seen by the next check, and only a loss; the epoch that is begun for it ends that.
//
// Broken by: a run id that is not read after a reconnect, an epoch of before the loss that Epoch returns from memory.
func TestLost(t *testing.T) {
	server := storetest.OwnRedis(t, "--save", "3600 1")
	c := client(t, server.URL(0))
	values := cache.New(c, time.Minute)
	if lost, err := values.Lost(t.Context()); err != nil || lost == "" {
		t.Errorf("a cache that nothing has armed: %q, %v", lost, err)
	}
	restart := func(save bool) {
		if save {
			if err := c.Save(t.Context()).Err(); err != nil {
				t.Fatal(err)
			}
		}
		server.Kill()
		if err := server.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	last := uint32(0)
	for _, test := range []struct {
		name   string
		strike func()
		lost   bool
	}{
		{"nothing", func() {}, false},
		{"flushed", func() { c.FlushAll(t.Context()) }, true},
		{"started again with its data", func() { restart(true) }, true},
		{"a new connection", func() { c.Do(t.Context(), "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "no") }, false},
	} {
		if _, err := values.Renew(t.Context()); err != nil {
			t.Fatalf("%s: %v", test.name, err)
		}
		epoch, _, err := values.Epoch(t.Context())
		if err != nil {
			t.Fatalf("%s: %v", test.name, err)
		}
		if was := last; (epoch > was) != (was == 0 || test.name == "started again with its data" ||
			test.name == "a new connection") {
			t.Errorf("before %s: epoch %d after %d", test.name, epoch, was)
		}
		last = epoch
		for range 2 { // the first knows the server from then on
			if lost, err := values.Lost(t.Context()); err != nil || lost != "" {
				t.Errorf("before %s: %q, %v", test.name, lost, err)
			}
		}
		test.strike()
		if lost, err := values.Lost(t.Context()); err != nil || (lost != "") != test.lost {
			t.Errorf("%s: %q, %v", test.name, lost, err)
		}
	}
}
