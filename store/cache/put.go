package cache

import (
	"context"
	"fmt"

	"github.com/redis/go-redis/v9"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
)

// Outcome is what became of the entries of a batch.
type Outcome struct {
	Written int64 // sent
	Kept    int64 // were there
	Removed int64 // were there, and were to be removed
	Old     int64 // left alone: a newer fence or refresh owns them
	Bytes   int64 // of the keys and values that were sent
}

// Add counts more.
func (o *Outcome) Add(more Outcome) {
	o.Written += more.Written
	o.Kept += more.Kept
	o.Removed += more.Removed
	o.Old += more.Old
	o.Bytes += more.Bytes
}

// Put writes a batch: all of it that nothing newer owns, or nothing. On ErrLost,
// ErrLate and ErrSuperseded nothing was written. On other errors some entries may
// have been written and others not; none is torn, and writing again is safe.
//
// Values of a run go by MULTI and EXEC, watching the book, as long as nothing in
// the book concerns them: that costs Redis little more than plain SETs, a script
// half as much again, because it copies every value. All else goes by script.
func (c *Cache) Put(ctx context.Context, cl *Claim, b *store.Batch) (Outcome, error) {
	if b.Len() == 0 {
		return Outcome{}, nil
	}
	if c.streams(cl) {
		return c.stream(ctx, cl, b)
	}
	return c.putAll(ctx, cl, b, everything(b))
}

// Touch sees to entries that are all Keep, whose values may be left out, and
// returns how many are in Redis as they should be.
func (c *Cache) Touch(ctx context.Context, cl *Claim, b *store.Batch) (there int64, err error) {
	rest := everything(b)
	if c.streams(cl) && b.Len() > 0 {
		s := streaming{cl: cl, b: b, book: c.books.key(0)}
		if rest, err = s.on(ctx, c); err != nil {
			return 0, err
		}
		there = s.out.Kept
	}
	missing, err := c.touch(ctx, cl, b, rest)
	return there + int64(len(rest)-len(missing)), err
}

// streams reports whether a claim's batches may go by wire: those of runs, on one
// Redis, of plain strings.
func (c *Cache) streams(cl *Claim) bool {
	_, one := c.c.(*redis.Client)
	return one && cl.wires != nil && cl.typ != string(jobs.TypeHash)
}

func everything(b *store.Batch) []int {
	all := make([]int, b.Len())
	for i := range all {
		all[i] = i
	}
	return all
}

// putAll writes the entries at the given positions by script: it touches those
// that should be there, and sends the others and those that are not.
func (c *Cache) putAll(ctx context.Context, cl *Claim, b *store.Batch, at []int) (out Outcome, err error) {
	var send, keep []int
	for _, i := range at {
		if b.Entry(i).Op == store.Keep {
			keep = append(keep, i)
		} else {
			send = append(send, i)
		}
	}
	missing, err := c.touch(ctx, cl, b, keep)
	if err != nil {
		return out, err
	}
	out.Kept = int64(len(keep) - len(missing))
	more, err := c.put(ctx, cl, b, append(send, missing...))
	out.Add(more)
	return out, err
}

// put sends entries by put.lua, one call a book.
func (c *Cache) put(ctx context.Context, cl *Claim, b *store.Batch, at []int) (out Outcome, err error) {
	groups := c.split(b, at)
	if len(groups) == 0 {
		return out, nil
	}
	calls := make([]call, len(groups))
	for i, g := range groups {
		calls[i] = c.call(g.book, b, g.at, append(cl.head(cl.armed.nonces[g.book]), cl.mode, cl.typ), func(args []any, e store.Entry) []any {
			if e.Op == store.Remove {
				return append(args, 0, "")
			}
			return append(args, milliseconds(e), e.Value)
		})
	}
	cmds, err := c.run(ctx, putScript, calls...)
	if err != nil {
		return out, fmt.Errorf("write %d keys, the first is %s: %w", len(at), b.Entry(at[0]).Key, explain(err))
	}
	for i, g := range groups {
		if err := verdict(cmds[i].Val()); err != nil {
			return out, err
		}
		reply, err := cmds[i].Int64Slice()
		if err != nil {
			return out, fmt.Errorf("write %d keys: %w", len(g.at), err)
		}
		out.Add(g.outcome(b, reply[0], reply[1:]))
	}
	return out, nil
}

// touch sees to entries that should be there, and returns those that are not.
func (c *Cache) touch(ctx context.Context, cl *Claim, b *store.Batch, at []int) (missing []int, err error) {
	groups := c.split(b, at)
	if len(groups) == 0 {
		return nil, nil
	}
	calls := make([]call, len(groups))
	for i, g := range groups {
		calls[i] = c.call(g.book, b, g.at, append(cl.head(cl.armed.nonces[g.book]), cl.pruned), func(args []any, e store.Entry) []any {
			if !e.Extend {
				return append(args, 0)
			}
			return append(args, milliseconds(e))
		})
	}
	cmds, err := c.run(ctx, touchScript, calls...)
	if err != nil {
		return nil, fmt.Errorf("see to %d keys, the first is %s: %w", len(at), b.Entry(at[0]).Key, explain(err))
	}
	for i, g := range groups {
		if err := verdict(cmds[i].Val()); err != nil {
			return nil, err
		}
		gone, err := cmds[i].Int64Slice()
		if err != nil {
			return nil, fmt.Errorf("see to %d keys: %w", len(g.at), err)
		}
		for _, pos := range gone {
			missing = append(missing, g.at[pos-1])
		}
	}
	return missing, nil
}

// group is the entries of a batch that are in one book.
type group struct {
	book int
	at   []int // positions in the batch
}

// split groups entries by book.
func (c *Cache) split(b *store.Batch, at []int) []group {
	if len(at) == 0 {
		return nil
	}
	if !c.books.cluster {
		return []group{{0, at}}
	}
	var groups []group
	places := make(map[int]int) // :: book -> its place in groups
	for _, i := range at {
		book := c.books.of(b.Entry(i).Key)
		place, ok := places[book]
		if !ok {
			place, places[book] = len(groups), len(groups)
			groups = append(groups, group{book: book})
		}
		groups[place].at = append(groups[place].at, i)
	}
	return groups
}

// call is a script's call for some entries of a book.
func (c *Cache) call(book int, b *store.Batch, at []int, args []any, each func([]any, store.Entry) []any) call {
	keys := make([]string, 0, len(at)+1)
	keys = append(keys, c.books.key(book))
	for _, i := range at {
		e := b.Entry(i)
		keys, args = append(keys, string(e.Key)), each(args, e)
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
