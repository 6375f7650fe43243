package store

import (
	"fmt"
	"strconv"
	"strings"
)

// Snapshot is the moment that a reading shows.
type Snapshot struct {
	Text   string // pg_current_snapshot()
	Clock  uint64 // orders all snapshots of one history: xmax less the number of running transactions
	Origin string // which history of Postgres it belongs to: see SameHistory
	Place  string // what names mean: database, user, search_path
}

// Stamp orders what was read, across the histories of a Postgres: a later epoch
// is newer whatever its clock says.
type Stamp struct {
	Epoch uint32
	Clock uint64
}

// stampDigits: of the epoch, and of the clock. All stamps are of one length, and
// digits alone, so that the order of their text is their order, in Lua too.
const (
	epochDigits = 6
	clockDigits = 20
)

// String is the stamp as it is written beside keys: 26 digits.
func (s Stamp) String() string {
	return fmt.Sprintf("%0*d%0*d", epochDigits, s.Epoch, clockDigits, s.Clock)
}

// Before reports whether s was read before o.
func (s Stamp) Before(o Stamp) bool {
	return s.Epoch < o.Epoch || s.Epoch == o.Epoch && s.Clock < o.Clock
}

// ParseStamp reads what String wrote.
func ParseStamp(text string) (Stamp, error) {
	if len(text) != epochDigits+clockDigits {
		return Stamp{}, fmt.Errorf("stamp %q has %d characters, not %d", text, len(text), epochDigits+clockDigits)
	}
	epoch, err := strconv.ParseUint(text[:epochDigits], 10, 32)
	if err != nil {
		return Stamp{}, fmt.Errorf("epoch of stamp %q: %w", text, err)
	}
	clock, err := strconv.ParseUint(text[epochDigits:], 10, 64)
	if err != nil {
		return Stamp{}, fmt.Errorf("clock of stamp %q: %w", text, err)
	}
	return Stamp{Epoch: uint32(epoch), Clock: clock}, nil
}

// Shows reports whether the snapshot shows what transaction xid did, if that was
// committed. xid is one of the last 2^31, without its epoch, as the write-ahead log
// has it. xids are compared modulo 2^32, and none is widened: the snapshot's xmax
// may lie before the transaction or behind it, on either side of a turn.
func (s Snapshot) Shows(xid uint32) (bool, error) {
	parts := strings.Split(s.Text, ":")
	if len(parts) != 3 {
		return false, fmt.Errorf("snapshot %q has not three parts", s.Text)
	}
	xmax, err := strconv.ParseUint(parts[1], 10, 64)
	if err != nil {
		return false, fmt.Errorf("xmax of snapshot %q: %w", s.Text, err)
	}
	if int32(xid-uint32(xmax)) >= 0 {
		return false, nil
	}
	for running := range strings.SplitSeq(parts[2], ",") {
		if running == "" {
			break
		}
		x, err := strconv.ParseUint(running, 10, 64)
		if err != nil {
			return false, fmt.Errorf("transaction in progress of snapshot %q: %w", s.Text, err)
		}
		if uint32(x) == xid {
			return false, nil
		}
	}
	return true, nil
}
