package cache

import "testing"

func TestDeep(t *testing.T) {
	b := newBench(t)
	for _, s := range []setup{
		{runs: 2, refresh: true, prune: true, losses: 2, grace: true},
		{runs: 2, refresh: true, prune: true, losses: 1, grace: true, selfish: true, tries: 1},
		{runs: 2, refresh: true, prune: true, losses: 1, wire: true, selfish: true, tries: 1},
		{runs: 2, refresh: true, remember: true, prune: true, losses: 1, grace: true},
		{runs: 2, refresh: true, crashes: 1, replay: true, losses: 1, prune: true},
		{runs: 2, refresh: true, crashes: 1, replay: true, losses: 1, grace: true},
		{runs: 1, refresh: true, crashes: 2, replay: true, losses: 1, grace: true, tries: 1},
	} {
		f := s.explore(t, b)
		t.Logf("%+v %v", s, f)
		f.tell(t)
	}
}
