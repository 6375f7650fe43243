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
		{"by script", setup{runs: 2, refresh: true, prune: true, losses: 1}},
		{"by script, grace", setup{runs: 2, refresh: true, prune: true, losses: 1, grace: true}},
		{"by wire", setup{runs: 2, refresh: true, prune: true, losses: 1, wire: true}},
		{"by wire, grace", setup{runs: 2, refresh: true, prune: true, losses: 1, wire: true, grace: true}},
		{"selfish", setup{runs: 2, refresh: true, selfish: true, tries: 1, losses: 1, grace: true}},
		{"selfish, prune", setup{runs: 1, refresh: true, selfish: true, tries: 1, losses: 1, grace: true, prune: true}},
		{"remember, prune", setup{runs: 2, refresh: true, prune: true, grace: true, remember: true}},
		{"remember, loss", setup{runs: 2, refresh: true, losses: 1, grace: true, remember: true}},
		{"failover 1", setup{runs: 1, refresh: true, crashes: 1, replay: true}},
		{"failover 1 loss", setup{runs: 1, refresh: true, crashes: 1, losses: 1, replay: true}},
		{"failover 2", setup{runs: 2, refresh: true, crashes: 1, replay: true}},
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
