package wal

import (
	"cmp"
	"context"
	"fmt"
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
	now, err := describe(ctx, c.Source, c.Spec.Changes.Name)
	if err != nil {
		return err
	}
	c.identities(tables, now)
	c.generated(tables, now)
	if err := c.publication(ctx, tables, now); err != nil {
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
func (c *checkup) identities(tables []feed.Table, now described) {
	told := make(map[uint32]bool)
	for _, t := range c.Present {
		for _, p := range t.Parts {
			if len(p.Identity) == 0 && !told[p.OID] {
				told[p.OID] = true
				c.FailFor(c.Watchers(c.Present, p.OID), "%s", noIdentity(c.Spec.Changes.Name, t, p, now))
			}
		}
	}
	for _, job := range c.Spec.Jobs {
		for _, w := range job.Watch {
			if i := slices.IndexFunc(tables, func(t feed.Table) bool { return t.Given == w.Table }); i >= 0 {
				c.carried(job, w, tables[i], now)
			}
		}
	}
}

// noIdentity says what a relation without a replica identity does to the application, and what mends that.
func noIdentity(name string, t feed.Table, p feed.Relation, now described) string {
	remedy := fmt.Sprintf("add a primary key that is not DEFERRABLE, or: ALTER TABLE %s REPLICA IDENTITY %s", p.Name,
		identityOn(p.Virtual, "on columns that are NOT NULL"))
	entry := t.Name // what the publication names
	if !t.Partitioned() {
		entry = p.Name
	}
	if slices.Contains(now.Tables, entry) {
		return fmt.Sprintf("table %s is published and has no replica identity: the application's own UPDATE and "+
			"DELETE on it fail; this ends that: %s; to follow its changes again, %s", p.Name, dropSQL(name, entry),
			remedy)
	}
	return fmt.Sprintf("table %s has no replica identity: once it is published, the application's own UPDATE and "+
		"DELETE on it would fail; %s", p.Name, remedy)
}

// identityOn is the end of the statement that gives a table a replica identity. FULL would have its virtual columns,
// which no publication can have.
func identityOn(virtual []string, index string) string {
	if len(virtual) > 0 {
		return "USING INDEX (a unique one " + index + "; not FULL, because of the virtual column " +
			strings.Join(virtual, ", ") + ")"
	}
	return "FULL (or USING INDEX, a unique one " + index + ")"
}

// carried: an update or a delete carries the old values of the replica identity
// alone. Without them, the key that a row has left would stay stale. Of a
// partition these are the columns that its own identity has and, because the
// change arrives as one of the partitioned table, that table's too.
func (c *checkup) carried(job *jobs.Job, w jobs.Watch, t feed.Table, now described) {
	columns := slices.DeleteFunc(feed.WatchedColumns(w), func(column string) bool {
		return now.unlogged(t, column) // no replica identity helps it
	})
	for _, p := range t.Parts {
		if len(p.Identity) > 0 { // else it was told
			c.carries(job, columns, p)
		}
	}
	if t.Partitioned() {
		c.carries(job, columns, feed.Relation{Name: t.Name, Identity: t.Identity, Virtual: t.Virtual})
	}
}

func (c *checkup) carries(job *jobs.Job, columns []string, p feed.Relation) {
	var outside []string
	for _, column := range columns {
		if !slices.Contains(p.Identity, column) {
			outside = append(outside, column)
		}
	}
	if slices.Sort(outside); len(outside) > 0 {
		c.Fail(job.Name, "updates and deletes of table %s do not carry the old value of %s, which is not in its "+
			"replica identity (%s): ALTER TABLE %s REPLICA IDENTITY %s, or watch the table without key and column",
			p.Name, strings.Join(outside, ", "), cmp.Or(strings.Join(p.Identity, ", "), "none"), p.Name,
			identityOn(p.Virtual, "that has the column"))
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
