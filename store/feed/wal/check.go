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
	if err := c.besides(ctx, now); err != nil {
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
	c.partitionsToCome()
	for _, job := range c.Spec.Jobs {
		for _, w := range job.Watch {
			if i := slices.IndexFunc(tables, func(t feed.Table) bool { return t.Given == w.Table }); i >= 0 {
				c.carried(job, w, tables[i], now)
			}
		}
	}
}

// partitionsToCome: a new partition has the primary key of its table, but no other replica identity of it.
func (c *checkup) partitionsToCome() {
	told := make(map[uint32]bool)
	for _, t := range c.Present {
		if t.Partitioned() && !t.Keyed && !told[t.OID] {
			told[t.OID] = true
			c.Warn("", "partitioned table %s has no primary key: a partition that is added later has no replica "+
				"identity, so that the application's own UPDATE and DELETE on it fail until the table is taken out of "+
				"the publication; add a primary key that is not DEFERRABLE, or give each partition its replica "+
				"identity in the transaction that adds it", t.Name)
		}
	}
}

// noIdentity says what a relation without a replica identity does to the application, and what mends that.
func noIdentity(name string, t feed.Table, p feed.Relation, now described) string {
	remedy := "add a primary key that is not DEFERRABLE, or: " +
		now.identitySQL(name, p, "on columns that are NOT NULL")
	entry := t.Name // what the publication names
	if !t.Partitioned() {
		entry = p.Name
	}
	const fails = "table %s is published and has no replica identity: the application's own UPDATE and DELETE on it " +
		"fail; "
	switch {
	case slices.Contains(now.Named, entry):
		return fmt.Sprintf(fails+"this ends that: %s; to follow its changes again, %s", p.Name, dropSQL(name, entry),
			remedy)
	case slices.Contains(now.Tables, entry): // of all tables, or of a schema: none can be taken out
		return fmt.Sprintf(fails+"%s", p.Name, remedy)
	}
	return fmt.Sprintf("table %s has no replica identity: once it is published, the application's own UPDATE and "+
		"DELETE on it would fail; %s", p.Name, remedy)
}

// identitySQL is the statement that gives a relation a replica identity. FULL would have its virtual columns, which no
// publication can have, and its stored generated ones, which the publication must have first.
func (p described) identitySQL(name string, r feed.Relation, index string) string {
	sql := fmt.Sprintf("ALTER TABLE %s REPLICA IDENTITY ", r.Name)
	switch {
	case len(r.Virtual) > 0:
		return sql + fmt.Sprintf("USING INDEX (a unique one %s; not FULL, because of the virtual column %s)", index,
			strings.Join(r.Virtual, ", "))
	case len(r.Stored) > 0 && p.Exists && !p.Generated && p.Version >= generatedVersion:
		sql = fmt.Sprintf("first %s, then ", generatedSQL(name)) + sql
	}
	return sql + "FULL (or USING INDEX, a unique one " + index + ")"
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
			c.carries(job, columns, p, now)
		}
	}
	if t.Partitioned() {
		c.carries(job, columns, feed.Relation{Name: t.Name, Identity: t.Identity, Stored: t.Stored,
			Virtual: t.Virtual}, now)
	}
}

func (c *checkup) carries(job *jobs.Job, columns []string, p feed.Relation, now described) {
	var outside []string
	for _, column := range columns {
		if !slices.Contains(p.Identity, column) {
			outside = append(outside, column)
		}
	}
	if slices.Sort(outside); len(outside) > 0 {
		c.Fail(job.Name, "updates and deletes of table %s do not carry the old value of %s, which is not in its "+
			"replica identity (%s): %s, or watch the table without key and column", p.Name,
			strings.Join(outside, ", "), cmp.Or(strings.Join(p.Identity, ", "), "none"),
			now.identitySQL(c.Spec.Changes.Name, p, "that has the column"))
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
