package shop

import (
	"context"
	"fmt"
	"time"

	"github.com/alicebob/miniredis/v2"

	"github.com/stokerhq/stoker/store/testserver"
)

// StartRedis starts the demo's Redis. cli is a line that reads a key of it.
func StartRedis(ctx context.Context, kind string) (url, cli string, closeIt func() error, err error) {
	const get = "redis-cli -p %d GET product:42"
	if kind == "embedded" {
		m, stop, err := embeddedRedis()
		if err != nil {
			return "", "", nil, err
		}
		return "redis://" + m.Addr() + "/0", fmt.Sprintf(get, m.Server().Addr().Port), stop, nil
	}
	r, err := testserver.StartRedis(ctx)
	if err != nil {
		return "", "", nil, fmt.Errorf("%w; or try: stoker demo --redis embedded", err)
	}
	return r.URL(0), fmt.Sprintf(get, r.Port()), r.Close, nil
}

// clockStep is how often the embedded Redis gets the time.
const clockStep = 50 * time.Millisecond

// embeddedRedis starts a Redis inside this process. Its keys age only when its
// clock is driven, so we drive it.
func embeddedRedis() (*miniredis.Miniredis, func() error, error) {
	m := miniredis.NewMiniRedis()
	if err := m.Start(); err != nil {
		return nil, nil, fmt.Errorf("start the embedded redis: %w", err)
	}
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(clockStep)
		defer tick.Stop()
		last := time.Now()
		for {
			select {
			case <-stop:
				return
			case now := <-tick.C:
				m.FastForward(now.Sub(last))
				last = now
			}
		}
	}()
	return m, func() error { close(stop); <-done; m.Close(); return nil }, nil
}
