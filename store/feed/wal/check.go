package wal

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store/feed"
)

// checkup is a feed.Checkup with the checks of this feed.
type checkup struct{ *feed.Checkup }

// Check checks all that a feed from the write-ahead log needs, for feed.Check.
func Check(ctx context.Context, common *feed.Checkup, tables []feed.Table) error {
	c := &checkup{common}
	c.identities(tables)
	if err := c.publication(ctx, tables); err != nil {
		return err
	}
	if err := c.replication(ctx); err != nil {
		return err
	}
	if c.Spec.Changes.Slot == jobs.SlotPermanent {
		return c.slot(ctx)
	}
	return nil
}

// identities holds the replica identity of each relation with rows against what
// the watches read of it. To publish the updates of one that has none makes the
// application's own UPDATE and DELETE fail.
func (c *checkup) identities(tables []feed.Table) {
	told := make(map[uint32]bool)
	for _, t := range tables {
		for _, p := range t.Parts {
			if len(p.Identity) == 0 && !told[p.OID] {
				told[p.OID] = true
				c.FailFor(c.Watchers(tables, p.OID),
					"table %s has no replica identity: once it is published, the application's own UPDATE and "+
						"DELETE on it would fail; "+
						"add a primary key that is not DEFERRABLE, or: ALTER TABLE %s REPLICA IDENTITY FULL (or "+
						"USING INDEX, a unique one on columns that are NOT NULL)", p.Name, p.Name)
			}
		}
	}
	for _, job := range c.Spec.Jobs {
		for _, w := range job.Watch {
			if i := slices.IndexFunc(tables, func(t feed.Table) bool { return t.Given == w.Table }); i >= 0 {
				c.carried(job, w, tables[i])
			}
		}
	}
}

// carried: an update or a delete carries the old values of the replica identity
// alone. Without them, the key that a row has left would stay stale. Of a
// partition these are the columns that its own identity has and, because the
// change arrives as one of the partitioned table, that table's too.
func (c *checkup) carried(job *jobs.Job, w jobs.Watch, t feed.Table) {
	for _, p := range t.Parts {
		if len(p.Identity) > 0 { // else it was told
			c.carries(job, w, p.Name, p.Identity)
		}
	}
	if t.Partitioned() {
		c.carries(job, w, t.Name, t.Identity)
	}
}

func (c *checkup) carries(job *jobs.Job, w jobs.Watch, name string, identity []string) {
	var outside []string
	for _, column := range feed.WatchedColumns(w) {
		if !slices.Contains(identity, column) {
			outside = append(outside, column)
		}
	}
	if slices.Sort(outside); len(outside) > 0 {
		c.Fail(job.Name, "updates and deletes of table %s do not carry the old value of %s, which is not in its "+
			"replica identity (%s): "+
			"ALTER TABLE %s REPLICA IDENTITY FULL (or USING INDEX, a unique one that has the column), or watch the "+
			"table without key and column",
			name, strings.Join(outside, ", "), cmp.Or(strings.Join(identity, ", "), "none"), name)
	}
}

// slot looks at the permanent slot.
func (c *checkup) slot(ctx context.Context) error {
	name := c.Spec.Changes.Name
	slot, err := ReadSlot(ctx, c.Source, name)
	if err != nil {
		return err
	}
	here, err := c.Source.Row(ctx, "SELECT current_database(), (SELECT plugin FROM pg_replication_slots WHERE "+
		"slot_name = $1)", name)
	if err != nil {
		return err
	}
	if !c.Spec.Changes.UnboundedWAL {
		err := boundedWAL(ctx, c.Source)
		if brokenOff(err) {
			return err
		}
		if err != nil {
			c.Fail("", "%v", err)
		}
	}
	switch {
	case !slot.Exists:
	case slot.Database != here[0] || here[1] != "pgoutput":
		c.Fail("", "slot %s is there already for another use (database %q, plugin %q): write another changes.name, "+
			"or drop it", name, slot.Database, here[1])
	case slot.Status == "lost":
		c.Warn("", "slot %s is lost: it fell behind by more than max_slot_wal_keep_size; Stoker makes it anew and "+
			"runs the watched jobs; raise that setting if it comes again", name)
	}
	return nil
}
