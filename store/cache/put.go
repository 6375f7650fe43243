package cache

import (
	"context"
	"errors"
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

// Put writes a batch: all of it that nothing newer owns. On an error some entries
// may have been written and others not, ErrLost, ErrLate and ErrSuperseded among
// them; each was right when it was written, none is torn, and writing again is safe.
//
// Values of a run go by MULTI and EXEC, watching the book, as long as nothing in
// the book concerns them: that costs Redis little more than plain SETs, a script
// half as much again, because it copies every value. All else goes by script.
func (c *Cache) Put(ctx context.Context, cl *Claim, b *store.Batch) (Outcome, error) {
	if b.Len() == 0 {
		return Outcome{}, nil
	}
	if c.byTransaction(cl) {
		return c.stream(ctx, cl, b)
	}
	if err := c.journal(ctx, cl, b); err != nil {
		return Outcome{}, err
	}
	return c.putAll(ctx, cl, b, everything(b))
}

// Touch handles entries that are all Keep, whose values may be left out, and
// returns how many are in Redis as they should be.
func (c *Cache) Touch(ctx context.Context, cl *Claim, b *store.Batch) (there int64, err error) {
	rest := everything(b)
	if c.byTransaction(cl) && b.Len() > 0 {
		var out Outcome
		if out, rest, err = c.streamed(ctx, cl, b); err != nil {
			return 0, err
		}
		there = out.Kept
	}
	missing, err := c.touch(ctx, cl, b, rest)
	return there + int64(len(rest)-len(missing)), err
}

// byTransaction reports whether the batches of a claim may go by transaction: those of runs, on one
// Redis, of plain strings.
func (c *Cache) byTransaction(cl *Claim) bool {
	_, one := c.c.(*redis.Client)
	return one && cl.conns != nil && cl.typ != string(jobs.TypeHash) && cl.typ != string(jobs.TypeZSet)
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

// put sends entries by put.lua.
func (c *Cache) put(ctx context.Context, cl *Claim, b *store.Batch, at []int) (out Outcome, err error) {
	groups, replies, err := c.runGrouped(ctx, putScript, cl.job, b, at, cl.heads(cl.mode, cl.typ),
		func(args []any, e store.Entry) []any {
			if e.Op == store.Remove {
				return append(args, 0, "")
			}
			return append(args, milliseconds(e), e.Value)
		})
	if err != nil {
		return out, wrap(err, "write", b, at)
	}
	for i, g := range groups {
		reply := replies[i][lookedUpHead:]
		out.Add(g.outcome(b, reply[0], reply[1:]))
	}
	return out, nil
}

// touch checks entries that should be there, and returns those that are not.
func (c *Cache) touch(ctx context.Context, cl *Claim, b *store.Batch, at []int) (missing []int, err error) {
	groups, replies, err := c.runGrouped(ctx, touchScript, "", b, at, cl.heads(cl.since),
		func(args []any, e store.Entry) []any {
			if !e.Extend {
				return append(args, 0)
			}
			return append(args, milliseconds(e))
		})
	if err != nil {
		return nil, wrap(err, "see to", b, at)
	}
	for i, g := range groups {
		for _, pos := range replies[i][lookedUpHead:] {
			missing = append(missing, g.at[pos-1])
		}
	}
	return missing, nil
}

// wrap says what was done to which keys; a verdict says enough by itself.
func wrap(err error, verb string, b *store.Batch, at []int) error {
	if Again(err) || errors.Is(err, ErrSuperseded) {
		return err
	}
	return fmt.Errorf("%s %d keys, the first is %s: %w", verb, len(at), b.Entry(at[0]).Key, store.WithRemedy(err))
}

// runGrouped runs a script for entries of a batch, one call a book, and returns its answers,
// which are numbers if there was no verdict. head is how the arguments begin for a
// book; each adds those of an entry. job is as for call.
func (c *Cache) runGrouped(ctx context.Context, s script, job string, b *store.Batch, at []int,
	head func(book int) []any, each func([]any, store.Entry) []any) ([]group, [][]int64, error) {
	groups := c.split(b, at)
	if len(groups) == 0 {
		return nil, nil, nil
	}
	calls := make([]call, len(groups))
	for i, g := range groups {
		calls[i] = c.call(g.book, job, b, g.at, head(g.book), each)
	}
	cmds, err := c.run(ctx, s, calls...)
	if err != nil {
		return nil, nil, err
	}
	replies := make([][]int64, len(groups))
	for i, cmd := range cmds {
		if err := refusal(cmd.Val()); err != nil {
			return nil, nil, err
		}
		if replies[i], err = cmd.Int64Slice(); err != nil {
			return nil, nil, err
		}
	}
	return groups, replies, nil
}
