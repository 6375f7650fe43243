package feed

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store/postgres"
)

// Table is a table that is watched for changes, as the catalog has it.
type Table struct {
	Given    string     // as the spec names it
	Name     string     // schema and name, quoted where needed; "" when there is no such table
	OID      uint32     // 0 when there is no such table
	Kind     string     // relkind: r table, p partitioned, v view, m materialized view, f foreign
	Keyed    bool       // it has a primary key that is not DEFERRABLE
	Owned    bool       // our role is the owner, or has its rights
	Columns  []string   // by their place
	Identity []string   // as of a Relation, of the table itself
	Stored   []string   // of Columns: those that are generated and stored
	Virtual  []string   // of Columns: those that are generated whenever they are read
	Fault    string     // with OID 0: why Postgres refuses the name
	Near     []string   // with OID 0: tables whose names differ by case or schema, as the spec may name them
	Parts    []Relation // where its rows lie: itself, its partitions, tables that inherit from it
}

// Relation is a relation with rows of a watched table.
type Relation struct {
	OID         uint32
	Name        string
	Persistence string // p permanent, u unlogged, t temporary
	// columns of a row that updates and deletes carry; none: the application's updates would fail once they
	// are published
	Identity []string
	Stored   []string // generated columns, as of a Table
	Virtual  []string
}

// Partitioned reports whether the table has no rows of its own.
func (t Table) Partitioned() bool { return t.Kind == "p" }

// tablesSQL describes the tables whose names are in $1. A name means what it
// means to a query: search_path holds. A DEFERRABLE primary key is no replica
// identity: Postgres does not take it for one.
const tablesSQL = `
WITH RECURSIVE given AS (
	SELECT name, at, to_regclass(name)::oid AS oid FROM unnest($1::text[]) WITH ORDINALITY AS n(name, at)
), parts AS (
	SELECT oid AS root, oid FROM (SELECT DISTINCT oid FROM given WHERE oid IS NOT NULL) AS roots
	UNION SELECT root, i.inhrelid FROM parts JOIN pg_inherits i ON i.inhparent = parts.oid
), identities AS (
	SELECT c.oid, json_agg(a.attname ORDER BY a.attnum) AS columns
	FROM (SELECT DISTINCT oid FROM parts) AS p JOIN pg_class c USING (oid) JOIN pg_attribute a ON a.attrelid = c.oid
	WHERE a.attnum > 0 AND NOT a.attisdropped AND (c.relreplident = 'f' OR a.attnum = ANY (
		SELECT unnest(x.indkey::int2[]) FROM pg_index x WHERE x.indrelid = c.oid AND x.indisvalid AND x.indimmediate
			AND (c.relreplident = 'd' AND x.indisprimary OR c.relreplident = 'i' AND x.indisreplident)))
	GROUP BY c.oid
), generated AS (
	SELECT p.oid, json_agg(a.attname ORDER BY a.attnum) FILTER (WHERE a.attgenerated = 's') AS stored,
		json_agg(a.attname ORDER BY a.attnum) FILTER (WHERE a.attgenerated = 'v') AS virtual
	FROM (SELECT DISTINCT oid FROM parts) AS p JOIN pg_attribute a ON a.attrelid = p.oid
	WHERE a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated <> '' GROUP BY p.oid
), described AS (
	SELECT root, json_agg(json_build_object('OID', c.oid::bigint, 'Name', format('%I.%I', s.nspname, c.relname), 'Persistence', c.relpersistence,
		'Identity', i.columns, 'Stored', e.stored, 'Virtual', e.virtual) ORDER BY c.oid) AS parts
	FROM parts JOIN pg_class c USING (oid) JOIN pg_namespace s ON s.oid = c.relnamespace LEFT JOIN identities i ON i.oid = c.oid LEFT JOIN generated e ON e.oid = c.oid
	WHERE c.relkind <> 'p' GROUP BY root
)
SELECT json_build_object('Given', g.name, 'Name', quote_ident(s.nspname) || '.' || quote_ident(c.relname), 'OID', c.oid::bigint, 'Kind', c.relkind,
	'Owned', pg_has_role(c.relowner, 'USAGE'), 'Parts', d.parts, 'Identity', i.columns, 'Stored', e.stored, 'Virtual', e.virtual,
	'Keyed', EXISTS (SELECT FROM pg_index x WHERE x.indrelid = c.oid AND x.indisprimary AND x.indimmediate),
	'Columns', (SELECT json_agg(a.attname ORDER BY a.attnum) FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped))
FROM given g LEFT JOIN pg_class c ON c.oid = g.oid LEFT JOIN pg_namespace s ON s.oid = c.relnamespace LEFT JOIN described d ON d.root = g.oid
	LEFT JOIN identities i ON i.oid = g.oid LEFT JOIN generated e ON e.oid = g.oid
ORDER BY g.at`

// KindName says what a relation that is no table is.
func KindName(kind string) string {
	switch kind {
	case "v":
		return "a view"
	case "m":
		return "a materialized view"
	case "f":
		return "a foreign table"
	}
	return "no table"
}

// Tables looks up tables by the names that the spec gives them, in that order.
func Tables(ctx context.Context, s *postgres.Source, names []string) (tables []Table, err error) {
	err = s.Do(ctx, func(c *pgx.Conn) error {
		conn := c.PgConn()
		tables, err = lookUp(ctx, conn, names)
		if _, refused := errors.AsType[*pgconn.PgError](err); refused {
			tables, err = lookUpEach(ctx, conn, names, err)
		}
		if err != nil {
			return fmt.Errorf("look up the watched tables: %w", err)
		}
		for i, t := range tables {
			if t.OID == 0 && t.Fault == "" {
				if tables[i].Near, err = near(ctx, conn, t.Given); err != nil {
					return fmt.Errorf("look for tables like %s: %w", t.Given, err)
				}
			}
		}
		return nil
	})
	return tables, err
}

// lookUp looks up tables; a name that Postgres refuses is an error.
func lookUp(ctx context.Context, conn *pgconn.PgConn, names []string) (tables []Table, err error) {
	res := conn.ExecParams(ctx, tablesSQL, [][]byte{postgres.ArrayLiteral(names)}, nil, nil, nil).Read()
	if res.Err != nil {
		return nil, res.Err
	}
	for _, row := range res.Rows {
		var t Table
		if err := json.Unmarshal(row[0], &t); err != nil {
			return nil, err
		}
		if t.OID == 0 {
			t = Table{Given: t.Given}
		}
		tables = append(tables, t)
	}
	return tables, nil
}

// WatchedTables looks up the tables that the spec's jobs watch, each once. A table that
// does not exist is an error.
func WatchedTables(ctx context.Context, s *postgres.Source, spec *jobs.Spec) ([]Table, error) {
	tables, err := Tables(ctx, s, spec.Watched())
	if err != nil {
		return nil, err
	}
	for _, t := range tables {
		if t.OID == 0 {
			return nil, errors.New(t.missing())
		}
	}
	return tables, nil
}

// Watcher is one entry of a job's watch list.
type Watcher struct {
	Job *jobs.Job
	At  int // its index
}

// WatchedColumns are the columns of its table that a watch reads.
func WatchedColumns(w jobs.Watch) []string {
	if w.Column != "" {
		return []string{w.Column}
	}
	return slices.Collect(maps.Values(w.Key))
}
