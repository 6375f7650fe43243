package outbox

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/stokerhq/stoker/store/feed"
	"github.com/stokerhq/stoker/store/postgres"
)

// Check checks what is installed for the tables, for feed.Check.
func Check(ctx context.Context, c *feed.Checkup, tables []feed.Table) error {
	state, err := readState(ctx, c.Source, tables)
	if err != nil {
		return err
	}
	for _, p := range state.unseen() {
		c.Fail("", "%s", p)
	}
	needs := needsOf(c.Spec, tables)
	if state.OID == 0 {
		c.Fail("", "%s: have the owner of the tables run: stoker outbox install --apply", noOutbox)
		return nil
	}
	for _, n := range needs {
		if p := state.uncoveredTable(n); p != "" {
			c.FailFor(c.Watchers(tables, n.table.OID),
				"%s: have the owner of the tables run: stoker outbox install --apply", p)
		}
	}
	var rights []string
	if !state.Select {
		rights = append(rights, "SELECT")
	}
	if !state.Delete {
		rights = append(rights, "DELETE")
	}
	if len(rights) > 0 {
		list := strings.Join(rights, ", ")
		c.Fail("", "Stoker's role may not %s the outbox: GRANT %s ON %s TO %s", strings.Join(rights, " and "), list,
			state.Table, state.Role)
	}
	if !state.Marked {
		c.Warn("", "%s", olderOutbox)
	}
	if held, err := ReadHeld(ctx, c.Source); err != nil {
		c.Warn("", "it cannot be seen whether a transaction keeps dead rows of the outbox: %v", err)
	} else {
		warnHeld(c, held)
	}
	for _, n := range needs {
		if names := state.bypassed(n); len(names) > 0 {
			c.Warn("", "of table %s, statements that name its part %s directly are not recorded: run stoker outbox "+
				"install --apply after a part was added", n.table.Name, strings.Join(names, ", "))
		}
	}
	return nil
}

// longOpen is when a check names the oldest transaction.
const longOpen = 5 * time.Minute

// warnHeld names a transaction that is open for long.
func warnHeld(c *feed.Checkup, held feed.Held) {
	if h := held.Holder; h.Age >= longOpen {
		c.Warn("", "a transaction is open for %s, of %s: as long as it is, dead rows cannot be removed, neither those "+
			"of the outbox, which has %d MB, nor those of other tables; end it: %s", h.Age.Round(time.Second), h,
			held.Bytes>>20, h.Remedy())
	}
}

// ReadHeld reads how large the outbox is, and what keeps its dead rows.
func ReadHeld(ctx context.Context, s *postgres.Source) (held feed.Held, err error) {
	row, err := s.Row(ctx, "SELECT coalesce(pg_total_relation_size(to_regclass('stoker_outbox')), 0)")
	if err != nil {
		return held, err
	}
	if held.Bytes, err = strconv.ParseInt(row[0], 10, 64); err != nil {
		return held, fmt.Errorf("the size of the outbox: %w", err)
	}
	held.Holder, err = feed.FindHolder(ctx, s)
	return held, err
}
