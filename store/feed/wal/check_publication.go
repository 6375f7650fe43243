package wal

import (
	"context"
	"slices"
	"strings"

	"github.com/stokerhq/stoker/store/feed"
	"github.com/stokerhq/stoker/store/postgres"
)

// publicationCheckSQL describes the publication $1; $2 are the relations of the
// watched tables. Row filters and column lists came with Postgres 15: before, the
// catalog has no columns for them.
const publicationCheckSQL = `SELECT current_user, has_database_privilege(current_database(), 'CREATE'),
	p.pubinsert, p.pubupdate, p.pubdelete, p.pubtruncate, p.pubviaroot,
	(SELECT string_agg(r.prrelid::regclass::text, ', ') FROM pg_publication_rel r WHERE r.prpubid = p.oid AND r.prrelid = ANY (string_to_array($2, ',')::oid[])
		AND (to_jsonb(r) ->> 'prqual' IS NOT NULL OR to_jsonb(r) ->> 'prattrs' IS NOT NULL))
FROM (SELECT) AS one LEFT JOIN pg_publication p ON p.pubname = $1`

// publication looks at the publication, or at what is needed to make it.
func (c *checkup) publication(ctx context.Context, tables []feed.Table, now described) error {
	if len(tables) == 0 {
		return nil
	}
	name := c.Spec.Changes.Name
	row, err := c.Source.Row(ctx, publicationCheckSQL, name, relations(tables))
	if err != nil {
		return err
	}
	role, create := row[0], row[1] == "t"
	var foreign []string
	for _, t := range tables {
		if !t.Owned && !slices.Contains(foreign, t.Name) {
			foreign = append(foreign, t.Name)
		}
	}
	sql := joined(now.completeSQL(name, tables))
	switch {
	case now.Exists:
		c.published(name, row[2:], tables)
		if may := now.Owned && len(foreign) == 0; !now.covers(tables) && !may {
			c.FailFor(c.unpublished(now, tables),
				"publication %s does not have every watched table, and role %s may not add them; have the owner of "+
					"the tables run: %s", name, role, sql)
		}
	case len(foreign) > 0:
		c.Fail("", "there is no publication %s, and role %s, which does not own %s, may not create it; have the "+
			"owner of the tables run: %s", name, role, strings.Join(foreign, ", "), sql)
	case !create:
		c.Fail("", "there is no publication %s, and role %s has no right to CREATE in the database; grant it, or "+
			"have somebody who may run: %s", name, role, sql)
	}
	return nil
}

// besides looks at what the publication has and no job watches. It is not what the feed needs, but what Stoker has
// published may hurt the application all the same.
func (c *checkup) besides(ctx context.Context, now described) error {
	name := c.Spec.Changes.Name
	tables, err := readExposed(ctx, c.Source, name)
	if err != nil {
		return err
	}
	for _, t := range tables {
		watched := func(w feed.Table) bool {
			return slices.ContainsFunc(w.Parts, func(p feed.Relation) bool { return p.Name == t.Name })
		}
		if !slices.ContainsFunc(c.Present, watched) {
			c.Warn("", "%s", t.describe(name))
		}
	}
	if !now.Made {
		return nil
	}
	unwatched, err := unwatchedTables(ctx, c.Source, name, c.Present)
	if len(unwatched) > 0 {
		c.Warn("", "publication %s has %s, which no job watches: stoker changes install --apply takes it out", name,
			strings.Join(unwatched, ", "))
	}
	return err
}

// unwatchedTables are those that a publication names and that are not watched, nor a part of what is.
func unwatchedTables(ctx context.Context, s *postgres.Source, name string, watched []feed.Table) (names []string,
	err error) {
	b, err := ReadBelongings(ctx, s, name)
	if err != nil {
		return nil, err
	}
	p, _ := b.Publication(name)
	has, err := feed.Tables(ctx, s, p.Tables)
	for _, t := range has {
		wanted := func(w feed.Table) bool {
			return w.OID == t.OID || slices.ContainsFunc(w.Parts, func(r feed.Relation) bool { return r.OID == t.OID })
		}
		if t.OID != 0 && !slices.ContainsFunc(watched, wanted) {
			names = append(names, t.Name)
		}
	}
	return names, err
}

// unpublished are the jobs that watch tables that the publication lacks.
func (c *checkup) unpublished(now described, tables []feed.Table) (names []string) {
	for _, t := range tables {
		if !now.covers([]feed.Table{t}) {
			names = append(names, c.Watchers(tables, t.OID)...)
		}
	}
	slices.Sort(names)
	return slices.Compact(names) // a job may watch several
}

// published holds a publication that is there against what the feed needs of it.
func (c *checkup) published(name string, row []string, tables []feed.Table) {
	var lacks []string
	for i, operation := range []string{"insert", "update", "delete", "truncate"} {
		if row[i] != "t" {
			lacks = append(lacks, operation)
		}
	}
	if len(lacks) > 0 {
		c.Fail("", "publication %s does not publish %s: ALTER PUBLICATION %s SET (publish = 'insert, update, "+
			"delete, truncate')", name, strings.Join(lacks, ", "), quoted(name))
	}
	if row[4] != "t" && slices.ContainsFunc(tables, func(t feed.Table) bool { return t.Kind == "p" }) {
		c.Fail("", "publication %s names partitions, not the partitioned tables that are watched: ALTER "+
			"PUBLICATION %s SET (publish_via_partition_root = true)", name, quoted(name))
	}
	if row[5] != "" {
		c.Fail("", "publication %s has a row filter or a column list for %s, so that changes would be missed: "+
			"ALTER PUBLICATION %s SET TABLE %s", name, row[5], quoted(name), tableList(tables))
	}
}
