package outbox

import (
	"context"
	"strings"

	"github.com/stokerhq/stoker/store/feed"
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
	for _, n := range needs {
		if names := state.bypassed(n); len(names) > 0 {
			c.Warn("", "of table %s, statements that name its part %s directly are not recorded: run stoker outbox "+
				"install --apply after a part was added", n.table.Name, strings.Join(names, ", "))
		}
	}
	return nil
}
