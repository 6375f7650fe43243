package wal

import (
	"fmt"
	"slices"
	"strings"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store/feed"
)

// unlogged reports whether a column is generated so that the log never has it: a virtual one, or any before
// Postgres 18.
func (p described) unlogged(t feed.Table, column string) bool {
	return slices.Contains(t.Virtual, column) || p.Version < generatedVersion && slices.Contains(t.Stored, column)
}

// generated looks at generated columns: those that watches read, and those in a replica identity, which from
// Postgres 18 on must be published, or the application's own UPDATE and DELETE fail.
func (c *checkup) generated(tables []feed.Table, now described) {
	// What the feed alters by itself, when it is opened.
	altered := !now.Exists || now.Generated || now.Made && now.Owned || now.Version < generatedVersion
	for _, t := range tables {
		for _, job := range c.Spec.Jobs {
			for _, w := range job.Watch {
				if w.Table == t.Given {
					c.readsGenerated(job, w, t, now, altered)
				}
			}
		}
	}
	told := make(map[uint32]bool)
	for _, t := range c.Present {
		for _, p := range t.Parts {
			if !told[p.OID] {
				told[p.OID] = true
				c.identifiesGenerated(p, now, altered)
			}
		}
	}
}

// readsGenerated looks at the generated columns that a watch reads.
func (c *checkup) readsGenerated(job *jobs.Job, w jobs.Watch, t feed.Table, now described, altered bool) {
	const instead = "watch a column that it is computed from, with column and keys"
	columns := feed.WatchedColumns(w)
	slices.Sort(columns)
	for _, column := range columns {
		switch stored := slices.Contains(t.Stored, column); {
		case stored && now.Version < generatedVersion:
			c.Warn(job.Name, "column %s of table %s, which its watch entry names, is generated, and Postgres before "+
				"18 does not write generated columns to the write-ahead log: each change of the table runs the whole "+
				"job; %s, use changes.source: outbox, or upgrade to Postgres 18", column, t.Name, instead)
		case stored && !altered:
			c.Fail(job.Name, "column %s of table %s, which its watch entry names, is generated, and publication %s "+
				"does not publish it: %s", column, t.Name, c.Spec.Changes.Name, generatedSQL(c.Spec.Changes.Name))
		}
	}
}

// identifiesGenerated looks at the generated columns in a relation's replica identity.
func (c *checkup) identifiesGenerated(p feed.Relation, now described, altered bool) {
	if now.Version < generatedVersion {
		return
	}
	name := c.Spec.Changes.Name
	in := func(columns []string) (found []string) {
		for _, column := range columns {
			if slices.Contains(p.Identity, column) {
				found = append(found, column)
			}
		}
		return found
	}
	if virtual := in(p.Virtual); len(virtual) > 0 {
		c.FailFor(c.Watchers(c.Present, p.OID), "the replica identity of table %s has the virtual generated column "+
			"%s, which no publication can have: %s; ALTER TABLE %s REPLICA IDENTITY DEFAULT (with a primary key) or %s",
			p.Name, strings.Join(virtual, ", "), published(now, p), p.Name,
			"USING INDEX (a unique one on columns that are NOT NULL), or make the column STORED")
	}
	if stored := in(p.Stored); len(stored) > 0 && !altered {
		c.FailFor(c.Watchers(c.Present, p.OID), "the replica identity of table %s has the generated column %s, which "+
			"publication %s does not publish: %s; have its owner run: %s", p.Name, strings.Join(stored, ", "), name,
			published(now, p), generatedSQL(name))
	}
}

// published says what happens to the application's statements on a relation.
func published(now described, p feed.Relation) string {
	const what = "the application's own UPDATE and DELETE on it"
	if slices.Contains(now.Tables, p.Name) {
		return fmt.Sprintf("%s fail", what)
	}
	return fmt.Sprintf("once it is published, %s would fail", what)
}
