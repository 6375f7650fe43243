package postgres

import (
	"context"
	"slices"
	"strings"

	"github.com/stokerhq/stoker/jobs"
)

// wal looks at all that a feed from the write-ahead log needs.
func (c *checkup) wal(ctx context.Context, tables []Table) error {
	c.identities(tables)
	if err := c.publication(ctx, tables); err != nil {
		return err
	}
	if err := c.replication(ctx); err != nil {
		return err
	}
	if c.spec.Changes.Slot == jobs.SlotPermanent {
		return c.slot(ctx)
	}
	return nil
}

// identities holds the replica identity of each relation with rows against what
// the watches read of it. To publish the updates of one that has none makes the
// application's own UPDATE and DELETE fail.
func (c *checkup) identities(tables []Table) {
	told := make(map[uint32]bool)
	for _, t := range tables {
		for _, p := range t.Parts {
			if len(p.Identity) == 0 && !told[p.OID] {
				told[p.OID] = true
				c.fail("", "table %s has no replica identity: once it is published, the application's own UPDATE and DELETE on it would fail; "+
					"add a primary key, or: ALTER TABLE %s REPLICA IDENTITY FULL (or USING INDEX, a unique one on columns that are NOT NULL)", p.Name, p.Name)
			}
		}
	}
	for _, job := range c.spec.Jobs {
		for _, w := range job.Watch {
			if i := slices.IndexFunc(tables, func(t Table) bool { return t.Given == w.Table }); i >= 0 {
				c.carried(job, w, tables[i])
			}
		}
	}
}

// carried: an update or a delete carries the old values of the replica identity
// alone. Without them, the key that a row has left would stay stale.
func (c *checkup) carried(job *jobs.Job, w jobs.Watch, t Table) {
	for _, p := range t.Parts {
		if len(p.Identity) == 0 {
			continue
		}
		var outside []string
		for _, column := range watchedColumns(w) {
			if !slices.Contains(p.Identity, column) {
				outside = append(outside, column)
			}
		}
		if slices.Sort(outside); len(outside) > 0 {
			c.fail(job.Name, "updates and deletes of table %s do not carry the old value of %s, which is not in its replica identity (%s): "+
				"ALTER TABLE %s REPLICA IDENTITY FULL (or USING INDEX, a unique one that has the column), or watch the table without key and column",
				p.Name, strings.Join(outside, ", "), strings.Join(p.Identity, ", "), p.Name)
		}
	}
}

// slot looks at the permanent slot.
func (c *checkup) slot(ctx context.Context) error {
	name := c.spec.Changes.Name
	slot, err := c.source.Slot(ctx, name)
	if err != nil {
		return err
	}
	here, err := c.source.row(ctx, "SELECT current_database(), (SELECT setting FROM pg_settings WHERE name = 'max_slot_wal_keep_size'), "+
		"(SELECT plugin FROM pg_replication_slots WHERE slot_name = $1)", name)
	if err != nil {
		return err
	}
	if here[1] == "-1" && !c.spec.Changes.UnboundedWAL {
		c.fail("", "max_slot_wal_keep_size is not set on the server: a permanent slot would keep WAL without limit while Stoker is away, until the disk is full; "+
			"set it (ALTER SYSTEM SET max_slot_wal_keep_size = '10GB'), write changes.slot: temporary, or changes.unbounded_wal: true")
	}
	switch {
	case !slot.Exists:
	case slot.Database != here[0] || here[2] != "pgoutput":
		c.fail("", "slot %s is there already for another use (database %q, plugin %q): write another changes.name, or drop it", name, slot.Database, here[2])
	case slot.Status == "lost":
		c.warn("", "slot %s is lost: it fell behind by more than max_slot_wal_keep_size; Stoker makes it anew and runs the watched jobs; raise that setting if it comes again", name)
	}
	return nil
}
