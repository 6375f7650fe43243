package wal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
	"time"

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

// described is a publication as the catalog has it.
type described struct {
	Exists    bool
	Made      bool     // Stoker made it: it has the mark
	Owned     bool     // our role may alter it
	Generated bool     // it publishes stored generated columns
	Version   int      // of the server
	Tables    []string // each with its schema, quoted where needed
	Named     []string // those that it names itself, not as parts of others, nor with all of a schema or the database
}

// mark is how the comment of a publication begins that Stoker made. Only such a publication is ever dropped, and
// only from such a one is a table taken out.
const mark = "Made by Stoker"

// comment is the comment of a publication that Stoker makes.
const comment = mark + ", for changes.source: wal; to remove it: stoker changes remove"

// madeSQL is true of a publication p with the mark.
const madeSQL = "coalesce(obj_description(p.oid, 'pg_publication') LIKE '" + mark + "%', false)"

// generatedVersion is the version from which a publication may have stored generated columns. From then on, an
// UPDATE fails where the replica identity has a generated column that is not published.
const generatedVersion = 180000

// describe looks at the publication of that name.
func describe(ctx context.Context, s *postgres.Source, name string) (p described, err error) {
	row, err := s.Row(ctx, `SELECT json_build_object('Exists', p.oid IS NOT NULL, 'Made', `+madeSQL+`,
			'Owned', coalesce(pg_has_role(p.pubowner, 'USAGE'), false), 'Generated', coalesce(to_jsonb(p) ->> 'pubgencols' = 's', false),
			'Version', current_setting('server_version_num')::int,
			'Tables', (SELECT json_agg(quote_ident(t.schemaname) || '.' || quote_ident(t.tablename)) FROM pg_publication_tables t WHERE t.pubname = p.pubname),
			'Named', (SELECT json_agg(format('%I.%I', n.nspname, c.relname)) FROM pg_publication_rel r JOIN pg_class c ON c.oid = r.prrelid JOIN pg_namespace n ON n.oid = c.relnamespace WHERE r.prpubid = p.oid))
		FROM (SELECT) AS one LEFT JOIN pg_publication p ON p.pubname = $1`, name)
	if err == nil {
		err = json.Unmarshal([]byte(row[0]), &p)
	}
	if err != nil {
		return p, fmt.Errorf("look at publication %s: %w", name, err)
	}
	return p, nil
}

// lacksGenerated reports whether tables have stored generated columns that the publication could have, and has not.
func (p described) lacksGenerated(tables []feed.Table) bool {
	return p.Exists && !p.Generated && p.Version >= generatedVersion &&
		slices.ContainsFunc(tables, func(t feed.Table) bool {
			return len(t.Stored) > 0 ||
				slices.ContainsFunc(t.Parts, func(r feed.Relation) bool { return len(r.Stored) > 0 })
		})
}

// publish makes sure that the publication has the watched tables.
func publish(ctx context.Context, s *postgres.Source, spec *jobs.Spec) (p publication, err error) {
	if p.tables, err = feed.WatchedTables(ctx, s, spec); err != nil {
		return p, err
	}
	name := spec.Changes.Name
	now, err := describe(ctx, s, name)
	if err != nil {
		return p, err
	}
	for _, t := range p.tables {
		for _, part := range t.Parts {
			if len(part.Identity) == 0 { // the check has said so; it may have been lost since
				return p, errors.New(noIdentity(name, t, part, now))
			}
		}
	}
	if sql := now.completeSQL(name, p.tables); len(sql) > 0 {
		if err := alter(ctx, s, sql, 0); err != nil {
			return p, fmt.Errorf("publish the watched tables (have their owner run: %s): %w", joined(sql), err)
		}
	}
	p.state, err = publicationState(ctx, s, name, p.tables)
	return p, err
}

// alter runs statements in one transaction. lock is how long to wait for a table that is locked; 0: as the session
// has it.
func alter(ctx context.Context, s *postgres.Source, sql []string, lock time.Duration) error {
	begin := "BEGIN"
	if lock > 0 {
		begin += fmt.Sprintf("; SET LOCAL lock_timeout = %d", lock.Milliseconds())
	}
	text := begin + "; " + joined(sql) + "; COMMIT"
	return s.Do(ctx, func(c *pgx.Conn) error {
		_, err := c.PgConn().Exec(ctx, text).ReadAll()
		if err == nil || c.PgConn().IsClosed() || c.PgConn().TxStatus() == 'I' {
			return err
		}
		_, rerr := c.PgConn().Exec(ctx, "ROLLBACK").ReadAll()
		return errors.Join(err, rerr)
	})
}

func joined(sql []string) string { return strings.Join(sql, "; ") }

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

// covers reports whether every watched table, with all that inherits from it, is
// published: by its own name, or as a part of a partitioned table that is.
func (p described) covers(tables []feed.Table) bool {
	published := make(map[string]bool, len(p.Tables))
	for _, name := range p.Tables {
		published[name] = true
	}
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

// completeSQL creates the publication of these tables, or adds what it lacks: another Stoker, or somebody else, may
// want the others.
func (p described) completeSQL(name string, tables []feed.Table) (sql []string) {
	if !p.Exists {
		generated := ""
		if p.Version >= generatedVersion {
			generated = ", publish_generated_columns = stored"
		}
		return []string{fmt.Sprintf("CREATE PUBLICATION %s FOR TABLE %s WITH (publish_via_partition_root = true%s)",
			quoted(name), tableList(tables), generated),
			fmt.Sprintf("COMMENT ON PUBLICATION %s IS '%s'", quoted(name), comment)}
	}
	if p.Made && p.lacksGenerated(tables) {
		sql = append(sql, generatedSQL(name))
	}
	lacks := slices.DeleteFunc(slices.Clone(tables), func(t feed.Table) bool {
		return slices.Contains(p.Tables, t.Name) || p.covers([]feed.Table{t})
	})
	if !p.covers(tables) {
		sql = append(sql, fmt.Sprintf("ALTER PUBLICATION %s ADD TABLE %s", quoted(name), tableList(lacks)))
	}
	return sql
}

// generatedSQL has the publication publish stored generated columns.
func generatedSQL(name string) string {
	return fmt.Sprintf("ALTER PUBLICATION %s SET (publish_generated_columns = stored)", quoted(name))
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
