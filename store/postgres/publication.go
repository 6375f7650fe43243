package postgres

import (
	"context"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/stokerhq/stoker/jobs"
)

// watched looks up the tables that the spec's jobs watch, each once.
func (s *Source) watched(ctx context.Context, spec *jobs.Spec) ([]Table, error) {
	tables, err := s.Tables(ctx, spec.Watched())
	if err != nil {
		return nil, err
	}
	for _, t := range tables {
		if t.OID == 0 {
			return nil, fmt.Errorf("the watched table %s does not exist, or is not in the search_path of Stoker's role: correct its name in the spec", t.Given)
		}
	}
	return tables, nil
}

// publish sees to it that the publication has the watched tables. It returns these,
// and what changes when something is watched or published otherwise than before:
// what was committed meanwhile is not in a slot that is older.
func (s *Source) publish(ctx context.Context, spec *jobs.Spec) (tables []Table, identity string, err error) {
	if tables, err = s.watched(ctx, spec); err != nil {
		return nil, "", err
	}
	name := spec.Changes.Name
	published, err := s.published(ctx, name)
	if err != nil {
		return nil, "", err
	}
	if !covers(published, tables) {
		sql := publicationSQL(name, tables, published)
		err = s.with(ctx, func(c *pgx.Conn) error {
			return c.PgConn().ExecParams(ctx, sql, nil, nil, nil, nil).Read().Err
		})
		if err != nil {
			return nil, "", fmt.Errorf("publish the watched tables (have their owner run: %s): %w", sql, err)
		}
	}
	made, err := s.row(ctx, `SELECT concat_ws(' ', p.oid, (SELECT string_agg(r.oid::text, ' ' ORDER BY r.oid) FROM pg_publication_rel r WHERE r.prpubid = p.oid))
		FROM pg_publication p WHERE pubname = $1`, name)
	if err != nil {
		return nil, "", fmt.Errorf("look at publication %s: %w", name, err)
	}
	h := fnv.New64a()
	fmt.Fprint(h, made[0], tables)
	for _, job := range spec.Jobs {
		fmt.Fprint(h, job.Name, job.Watch)
	}
	return tables, fmt.Sprintf("%016x", h.Sum64()), nil
}

// published returns the tables of a publication; nil when there is no such
// publication.
func (s *Source) published(ctx context.Context, name string) (tables map[string]bool, err error) {
	err = s.with(ctx, func(c *pgx.Conn) error {
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
func covers(published map[string]bool, tables []Table) bool {
	told := make(map[uint32]bool)
	for _, t := range tables {
		for _, p := range t.Parts {
			told[p.OID] = told[p.OID] || published[p.Name] || t.Kind == "p" && published[t.Name]
		}
	}
	return !slices.ContainsFunc(tables, func(t Table) bool {
		if t.Kind == "p" && published[t.Name] {
			return false
		}
		return len(t.Parts) == 0 || slices.ContainsFunc(t.Parts, func(p Part) bool { return !told[p.OID] })
	})
}

// publicationSQL creates a publication of these tables, or adds those that it lacks:
// another Stoker, or somebody else, may want the others.
func publicationSQL(name string, tables []Table, published map[string]bool) string {
	if published == nil {
		return fmt.Sprintf("CREATE PUBLICATION %s FOR TABLE %s WITH (publish_via_partition_root = true)", quoted(name), tableList(tables))
	}
	lacks := slices.DeleteFunc(slices.Clone(tables), func(t Table) bool { return published[t.Name] || covers(published, []Table{t}) })
	return fmt.Sprintf("ALTER PUBLICATION %s ADD TABLE %s", quoted(name), tableList(lacks))
}

// tableList names each table once.
func tableList(tables []Table) string {
	var names []string
	for _, t := range tables {
		if !slices.Contains(names, t.Name) {
			names = append(names, t.Name)
		}
	}
	return strings.Join(names, ", ")
}

func quoted(name string) string { return pgx.Identifier{name}.Sanitize() }
