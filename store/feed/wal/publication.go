package wal

import (
	"context"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store/feed"
	"github.com/stokerhq/stoker/store/postgres"
)

// publication is what is published of a spec, as the feed begins.
type publication struct {
	tables []feed.Table // that are watched
	state  string       // differs after any alteration that may have kept a change back
}

// place is where a permanent slot of this publication streams what the spec watches.
// What was committed under another one may be missing.
func (p publication) place(spec *jobs.Spec) string {
	h := fnv.New64a()
	fmt.Fprint(h, p.state, p.tables)
	for _, job := range spec.Jobs {
		fmt.Fprint(h, job.Name, job.Watch)
	}
	return fmt.Sprintf("%016x", h.Sum64())
}

// publish makes sure that the publication has the watched tables.
func publish(ctx context.Context, s *postgres.Source, spec *jobs.Spec) (p publication, err error) {
	if p.tables, err = feed.WatchedTables(ctx, s, spec); err != nil {
		return p, err
	}
	name := spec.Changes.Name
	published, err := publishedTables(ctx, s, name)
	if err != nil {
		return p, err
	}
	if !covers(published, p.tables) {
		sql := publicationSQL(name, p.tables, published)
		err = s.Do(ctx, func(c *pgx.Conn) error {
			return c.PgConn().ExecParams(ctx, sql, nil, nil, nil, nil).Read().Err
		})
		if err != nil {
			return p, fmt.Errorf("publish the watched tables (have their owner run: %s): %w", sql, err)
		}
	}
	p.state, err = publicationState(ctx, s, name, p.tables)
	return p, err
}

// publicationState differs after an alteration of the publication, as far as it
// concerns these tables, also if it was altered back: the version of its row does,
// and so do the numbers of its entries, of which a new filter makes a new one. What
// is published besides, by another Stoker perhaps, does not count.
func publicationState(ctx context.Context, s *postgres.Source, name string, tables []feed.Table) (string, error) {
	row, err := s.Row(ctx, `SELECT concat_ws(' ', p.oid, p.xmin, (SELECT string_agg(r.oid::text, ' ' ORDER BY r.oid) FROM pg_publication_rel r
			WHERE r.prpubid = p.oid AND r.prrelid = ANY (string_to_array($2, ',')::oid[])))
		FROM (SELECT) AS one LEFT JOIN pg_publication p ON p.pubname = $1`, name, relations(tables))
	if err != nil {
		return "", fmt.Errorf("look at publication %s: %w", name, err)
	}
	return row[0], nil
}

// relations are the numbers of the tables and of their parts, with commas.
func relations(tables []feed.Table) string {
	var oids []string
	for _, t := range tables {
		oids = append(oids, fmt.Sprint(t.OID))
		for _, p := range t.Parts {
			oids = append(oids, fmt.Sprint(p.OID))
		}
	}
	return strings.Join(oids, ",")
}

// publishedTables returns the tables of a publication; nil when there is no such
// publication.
func publishedTables(ctx context.Context, s *postgres.Source, name string) (tables map[string]bool, err error) {
	err = s.Do(ctx, func(c *pgx.Conn) error {
		res := c.PgConn().ExecParams(ctx, `SELECT quote_ident(t.schemaname) || '.' || quote_ident(t.tablename)
			FROM pg_publication p LEFT JOIN pg_publication_tables t USING (pubname) WHERE pubname = $1`, [][]byte{[]byte(name)}, nil, nil, nil).Read()
		if res.Err != nil {
			return fmt.Errorf("look at publication %s: %w", name, res.Err)
		}
		for _, row := range res.Rows {
			if tables == nil {
				tables = make(map[string]bool)
			}
			tables[string(row[0])] = true
		}
		return nil
	})
	return tables, err
}

// covers reports whether every watched table, with all that inherits from it, is
// published: by its own name, or as a part of a partitioned table that is.
func covers(published map[string]bool, tables []feed.Table) bool {
	told := make(map[uint32]bool)
	for _, t := range tables {
		for _, p := range t.Parts {
			told[p.OID] = told[p.OID] || published[p.Name] || t.Kind == "p" && published[t.Name]
		}
	}
	return !slices.ContainsFunc(tables, func(t feed.Table) bool {
		if t.Kind == "p" && published[t.Name] {
			return false
		}
		return len(t.Parts) == 0 || slices.ContainsFunc(t.Parts, func(p feed.Relation) bool { return !told[p.OID] })
	})
}

// publicationSQL creates a publication of these tables, or adds those that it lacks:
// another Stoker, or somebody else, may want the others.
func publicationSQL(name string, tables []feed.Table, published map[string]bool) string {
	if published == nil {
		return fmt.Sprintf("CREATE PUBLICATION %s FOR TABLE %s WITH (publish_via_partition_root = true)", quoted(name),
			tableList(tables))
	}
	lacks := slices.DeleteFunc(slices.Clone(tables),
		func(t feed.Table) bool { return published[t.Name] || covers(published, []feed.Table{t}) })
	return fmt.Sprintf("ALTER PUBLICATION %s ADD TABLE %s", quoted(name), tableList(lacks))
}

// tableList names each table once.
func tableList(tables []feed.Table) string {
	var names []string
	for _, t := range tables {
		if !slices.Contains(names, t.Name) {
			names = append(names, t.Name)
		}
	}
	return strings.Join(names, ", ")
}

func quoted(name string) string { return pgx.Identifier{name}.Sanitize() }
