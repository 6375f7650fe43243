package postgres

import (
	"context"
	"strings"
)

// outbox looks at what is installed for the tables.
func (c *checkup) outbox(ctx context.Context, tables []Table) error {
	state, err := c.source.outboxState(ctx, tables)
	if err != nil {
		return err
	}
	for _, p := range state.unseen() {
		c.fail("", "%s", p)
	}
	needs := outboxNeeds(c.spec, tables)
	if state.OID == 0 {
		c.fail("", "%s: have the owner of the tables run: stoker outbox install --apply", noOutbox)
		return nil
	}
	for _, n := range needs {
		if p := state.uncoveredTable(n); p != "" {
			c.failFor(c.watchers(tables, n.table.OID), "%s: have the owner of the tables run: stoker outbox install --apply", p)
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
		c.fail("", "Stoker's role may not %s the outbox: GRANT %s ON %s TO %s", strings.Join(rights, " and "), list, state.Table, state.Role)
	}
	for _, n := range needs {
		if names := state.bypassed(n); len(names) > 0 {
			c.warn("", "of table %s, statements that name its part %s directly are not recorded: run stoker outbox install --apply after a part was added", n.table.Name, strings.Join(names, ", "))
		}
	}
	return nil
}
