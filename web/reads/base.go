package reads

import (
	"maps"
	"slices"

	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/cache/info"
)

// base is what the servers and Stoker have counted at a look.
type base struct {
	nodes        map[string]bool // :: run id
	hits, misses int64           // of all servers
	own          store.Lookups

	// what was taken off too much at the last look, because Stoker's lookups are asked after the servers; 0 or less
	overHits, overMisses int64
}

func newBase(nodes []info.Node, own store.Lookups) *base {
	b := &base{nodes: make(map[string]bool, len(nodes)), own: own}
	for _, n := range nodes {
		b.nodes[n.RunID] = true
	}
	all := info.Sum(nodes)
	b.hits, b.misses = all.Hits, all.Misses
	return b
}

// same reports whether two looks are of the same servers, each running since, so that their difference means something.
func (b *base) same(next *base) bool {
	return maps.Equal(b.nodes, next.nodes) && next.hits >= b.hits && next.misses >= b.misses &&
		next.own.Hits >= b.own.Hits && next.own.Misses >= b.own.Misses
}

// reads returns the readers' lookups between two looks, and leaves to the next one what was taken off too much.
func (b *base) reads(next *base) (hits, misses int64) {
	hits, next.overHits = part(next.hits-b.hits, next.own.Hits-b.own.Hits, b.overHits)
	misses, next.overMisses = part(next.misses-b.misses, next.own.Misses-b.own.Misses, b.overMisses)
	return hits, misses
}

// part is what is left of all lookups without Stoker's own, and what is over: 0 or less. More than what Stoker has
// looked up between two looks cannot come late.
func part(all, own, over int64) (readers, left int64) {
	rest := all - own + over
	if rest >= 0 {
		return rest, 0
	}
	return 0, slices.Max([]int64{rest, -own})
}
