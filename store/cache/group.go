package cache

import "github.com/stokerhq/stoker/store"

// group is the entries of a batch that are in one book.
type group struct {
	book int
	at   []int // positions in the batch
}

// What one script takes at most, so that API nodes do not feel it: some 3 us a
// key and 2 us a KB, together a third of a millisecond. A larger value goes alone.
const (
	scriptKeys  = 100
	scriptBytes = 64 << 10
)

// split groups entries by book, and cuts groups that are too large for a script.
func (c *Cache) split(b *store.Batch, at []int) []group {
	var groups []group
	places := make(map[int]int) // :: book -> the place in groups of the one that is filled
	size := make(map[int]int)   // :: book -> bytes in that one
	for _, i := range at {
		e := b.Entry(i)
		book := c.names.BookOf(e.Key)
		place, ok := places[book]
		if !ok || len(groups[place].at) == scriptKeys || size[book]+e.Size() > scriptBytes {
			place, places[book], size[book] = len(groups), len(groups), 0
			groups = append(groups, group{book: book})
		}
		groups[place].at = append(groups[place].at, i)
		size[book] += e.Size()
	}
	return groups
}

// call is a script's call for some entries of a book. A script that brings or removes
// keys is given the untracked keys of the job, too; job is "" for one that does not.
func (c *Cache) call(book int, job string, b *store.Batch, at []int, args []any,
	each func([]any, store.Entry) []any) call {
	keys := make([]string, 0, len(at)+2)
	keys = append(keys, c.names.Book(book))
	for _, i := range at {
		e := b.Entry(i)
		keys, args = append(keys, string(e.Key)), each(args, e)
	}
	if job != "" {
		keys = append(keys, c.names.Untracked(book, job))
	}
	return call{keys, args}
}

// outcome counts what put.lua did; old are positions in the group, from 1.
func (g group) outcome(b *store.Batch, removed int64, old []int64) Outcome {
	refused := make(map[int64]bool, len(old))
	for _, pos := range old {
		refused[pos] = true
	}
	out := Outcome{Removed: removed, Old: int64(len(old))}
	for pos, i := range g.at {
		if e := b.Entry(i); !refused[int64(pos+1)] && e.Op != store.Remove {
			out.Written++
			out.Bytes += int64(e.Size())
		}
	}
	return out
}

// milliseconds is an entry's TTL as Redis takes it: 1 at least.
func milliseconds(e store.Entry) int64 { return max(e.TTL.Milliseconds(), 1) }
