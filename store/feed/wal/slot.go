package wal

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store/feed"
	"github.com/stokerhq/stoker/store/postgres"
)

// ReadSlot looks at the replication slot of that name.
func ReadSlot(ctx context.Context, s *postgres.Source, name string) (slot feed.Slot, err error) {
	err = s.Do(ctx, func(c *pgx.Conn) error {
		res := c.PgConn().ExecParams(ctx, `SELECT coalesce(active_pid, 0), coalesce(wal_status, ''), coalesce(pg_current_wal_lsn() - restart_lsn, 0)::bigint,
			coalesce(safe_wal_size, -1), coalesce(confirmed_flush_lsn - '0/0'::pg_lsn, 0)::bigint, coalesce(database, '')
			FROM pg_replication_slots WHERE slot_name = $1`, [][]byte{[]byte(name)}, nil, nil, nil).Read()
		if res.Err != nil {
			return fmt.Errorf("look at slot %s: %w", name, postgres.WithGrant(res.Err))
		}
		if len(res.Rows) == 0 {
			return nil
		}
		var numbers [5]int64
		for _, i := range []int{0, 2, 3, 4} {
			if numbers[i], err = strconv.ParseInt(string(res.Rows[0][i]), 10, 64); err != nil {
				return fmt.Errorf("look at slot %s: %w", name, err)
			}
		}
		slot = feed.Slot{Exists: true, Active: int(numbers[0]), Status: string(res.Rows[0][1]), Lag: numbers[2],
			Safe: numbers[3], Position: uint64(numbers[4]), Database: string(res.Rows[0][5])}
		return nil
	})
	return slot, err
}

// makeSlot makes a temporary slot, or finds or makes the permanent one.
func (w *Feed) makeSlot(ctx context.Context, s *postgres.Source, c jobs.Changes, place string) (feed.Start, error) {
	if c.Slot == jobs.SlotTemporary {
		w.slot = c.Name + "_" + strings.ToLower(rand.Text()[:8])
		return w.makeAnew(ctx, s, feed.Start{Place: "wal " + w.slot}, true)
	}
	w.slot = c.Name
	start := feed.Start{Place: "wal slot " + w.slot + " " + place, Durable: true}
	slot, err := w.free(ctx, s, w.slot)
	if err != nil {
		return start, err
	}
	if !slot.Exists {
		if !c.UnboundedWAL {
			if err := boundedWAL(ctx, s); err != nil {
				return start, err
			}
		}
		return w.makeAnew(ctx, s, start, false)
	}
	if slot.Status == "lost" {
		w.log.Warn("the slot was lost: it fell behind by more than max_slot_wal_keep_size; it is made anew and the "+
			"watched jobs are run", "slot", w.slot)
		if err := pglogrepl.DropReplicationSlot(ctx, w.conn, w.slot,
			pglogrepl.DropReplicationSlotOptions{}); err != nil {
			return start, fmt.Errorf("drop the lost slot %s: %w", w.slot, err)
		}
		return w.makeAnew(ctx, s, start, false)
	}
	start.Position = slot.Position
	return start, nil
}

// makeAnew makes the slot. What was written to the log before it, and is not visible
// yet, it does not tell of.
func (w *Feed) makeAnew(ctx context.Context, s *postgres.Source, start feed.Start, temporary bool) (feed.Start, error) {
	var err error
	start.Fresh = true
	if start.Position, err = w.create(ctx, temporary); err != nil {
		return start, err
	}
	then, err := writing(ctx, s)
	if err != nil {
		return start, err
	}
	start.Unsettled = func(ctx context.Context) (bool, error) {
		now, err := writing(ctx, s)
		return slices.ContainsFunc(now, func(xid string) bool { return slices.Contains(then, xid) }), err
	}
	return start, nil
}

// writing returns the transactions that have written and are not over, prepared ones
// among them. Each holds a lock on its own number until all snapshots show it; anybody
// may see these locks.
func writing(ctx context.Context, s *postgres.Source) (xids []string, err error) {
	err = s.Do(ctx, func(c *pgx.Conn) error {
		res := c.PgConn().ExecParams(ctx, `SELECT DISTINCT transactionid::text FROM pg_locks WHERE locktype = 'transactionid' AND mode = 'ExclusiveLock' AND granted`, nil, nil, nil, nil).Read()
		if res.Err != nil {
			return fmt.Errorf("look for open transactions: %w", res.Err)
		}
		for _, row := range res.Rows {
			xids = append(xids, string(row[0]))
		}
		return nil
	})
	return xids, err
}

// slowSlot is how long a slot may take to be made without a word: Postgres waits
// for every transaction that has written and is still open.
const slowSlot = 3 * time.Second

// create makes the slot and returns the position from which it streams commits.
func (w *Feed) create(ctx context.Context, temporary bool) (position uint64, err error) {
	slow := time.AfterFunc(slowSlot, func() {
		w.log.Warn("postgres makes the slot only when every transaction has ended that has written and is still "+
			"open; until then changes are not followed", "slot", w.slot)
	})
	defer slow.Stop()
	made, err := pglogrepl.CreateReplicationSlot(ctx, w.conn, w.slot, "pgoutput",
		pglogrepl.CreateReplicationSlotOptions{Temporary: temporary, SnapshotAction: "NOEXPORT_SNAPSHOT"})
	if err != nil {
		return 0, fmt.Errorf("make slot %s: %w", w.slot, err)
	}
	from, err := pglogrepl.ParseLSN(made.ConsistentPoint)
	if err != nil {
		return 0, fmt.Errorf("make slot %s: %w", w.slot, err)
	}
	return uint64(from), nil
}

// boundedWAL refuses a server on which a permanent slot without a reader fills the
// disk.
func boundedWAL(ctx context.Context, s *postgres.Source) error {
	return s.Do(ctx, func(c *pgx.Conn) error {
		res := c.PgConn().ExecParams(ctx, "SELECT setting FROM pg_settings WHERE name = 'max_slot_wal_keep_size'", nil,
			nil, nil, nil).Read()
		if res.Err != nil {
			return fmt.Errorf("read max_slot_wal_keep_size: %w", res.Err)
		}
		if len(res.Rows) == 1 && string(res.Rows[0][0]) == "-1" {
			return fmt.Errorf("max_slot_wal_keep_size is not set on the server: a permanent slot would keep WAL " +
				"without limit while Stoker is away, until the disk is full; set it (ALTER SYSTEM SET " +
				"max_slot_wal_keep_size = '10GB'), write changes.slot: temporary, or changes.unbounded_wal: true")
		}
		return nil
	})
}

// free ends who else reads from a slot: a replica that was killed, whose connection
// Postgres has not yet found out to be dead. It asks as the role that replicates,
// because that may end its own.
func (w *Feed) free(ctx context.Context, s *postgres.Source, name string) (slot feed.Slot, err error) {
	for range 50 {
		if slot, err = ReadSlot(ctx, s, name); err != nil || slot.Active == 0 {
			return slot, err
		}
		if _, err := w.conn.Exec(ctx, fmt.Sprintf("SELECT pg_terminate_backend(%d)",
			slot.Active)).ReadAll(); err != nil {
			return slot, fmt.Errorf("take slot %s over from process %d: %w", name, slot.Active, err)
		}
		select {
		case <-ctx.Done():
			return slot, ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
	return slot, fmt.Errorf("slot %s is still read by process %d: end that process", name, slot.Active)
}
