package cache

import (
	"testing"
	"time"
)

func TestInterleavings(t *testing.T) {
	b := newBench(t)
	for _, tt := range []struct {
		name string
		s    setup
	}{
		{"loss", setup{runs: 2, refresh: true, prune: true, losses: 1}},
		{"loss grace", setup{runs: 2, refresh: true, prune: true, losses: 1, grace: true}},
		{"flush", setup{runs: 2, refresh: true, prune: true, flushes: 1}},
		{"selfish", setup{runs: 2, refresh: true, selfish: true, tries: 1, losses: 1}},
		{"wire", setup{runs: 2, refresh: true, prune: true, losses: 1, wire: true}},
		{"remember", setup{runs: 2, refresh: true, prune: true, losses: 1, grace: true, remember: true}},
		{"failover", setup{runs: 1, refresh: true, crashes: 1, replay: true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			start := time.Now()
			f := tt.s.explore(t, b)
			t.Log(f, len(b.known), time.Since(start))
			if f.broken != 0 {
				t.Error(f.broken, f.trace)
			}
		})
	}
}
