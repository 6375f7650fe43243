package outbox

import (
	"fmt"
	"strconv"
	"strings"
)

// horizon is the transactions that a snapshot did not show. A poll that reads all that its
// snapshot shows leaves one behind: the next poll reads what these transactions have
// written, and no row of before.
//
// It is not a lower bound of ids, nor the oldest open transaction: a transaction that
// commits late has lower ids, and one that stays open must not keep each poll reading
// what was written after it began, dead rows above all. While a transaction is open, no
// vacuum removes the rows that are deleted, and a poll that passed them all would cost
// more with each of them.
type horizon struct {
	next    uint64   // transactions from this number on
	running []string // and those of before that had not ended
}

// horizonOf reads a snapshot as pg_current_snapshot prints it: "xmin:xmax:xip,xip".
func horizonOf(snapshot string) (*horizon, error) {
	parts := strings.Split(snapshot, ":")
	if len(parts) != 3 {
		return nil, fmt.Errorf("snapshot %q has not three parts", snapshot)
	}
	next, err := strconv.ParseUint(parts[1], 10, 64)
	if err != nil {
		return nil, fmt.Errorf("xmax of snapshot %q: %w", snapshot, err)
	}
	h := &horizon{next: next}
	if parts[2] != "" {
		h.running = strings.Split(parts[2], ",")
	}
	return h, nil
}

// params are the parameters of beyondSQL.
func (h *horizon) params() [][]byte {
	return [][]byte{strconv.AppendUint(nil, h.next, 10), []byte("{" + strings.Join(h.running, ",") + "}")}
}

// beyondSQL is true of rows that are not within a horizon, $2 and $3, and may be seen now.
// Of the transactions that were running then, those that still run are left out, and so
// are those that have begun last: what they have written cannot be seen yet, and may be
// much.
const beyondSQL = `(o.xid >= $2::xid8 AND o.xid < pg_snapshot_xmax(pg_current_snapshot()) OR o.xid = ANY (ARRAY(
	SELECT x FROM unnest($3::xid8[]) AS x WHERE pg_visible_in_snapshot(x, pg_current_snapshot()))))`

// indexOnlySQL has the planner use the index, whatever it believes of the table: its
// statistics are those of a moment at which there were no rows, or many.
const indexOnlySQL = `SELECT set_config('enable_seqscan', 'off', true), set_config('jit', 'off', true)`
