package info_test

import (
	"testing"

	"github.com/stokerhq/stoker/store/cache/info"
)

// Broken by: sets that are compared as a whole, with which two processes that see a change one after the other begin
// an epoch each, again and again; an unknown set taken for an empty one.
func TestJoined(t *testing.T) {
	t.Parallel()
	of := func(ids ...string) string {
		var nodes []info.Node
		for _, id := range ids {
			nodes = append(nodes, info.Node{RunID: id})
		}
		return info.Masters(nodes)
	}
	for _, c := range []struct {
		name, now, known string
		want             bool
	}{
		{"the same", of("a", "b", "c"), of("c", "b", "a"), false},
		{"one is gone", of("a", "b"), of("a", "b", "c"), false},
		{"one is another", of("a", "b", "d"), of("a", "b", "c"), true},
		{"one more", of("a", "b", "c", "d"), of("a", "b", "c"), true},
		{"a part of a name", of("a", "bc"), of("a", "b", "abc"), true},
		{"none known", of("a"), "", false},
		{"none says", "", of("a"), false},
	} {
		if got := info.Joined(c.now, c.known); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}
