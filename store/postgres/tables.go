package postgres

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// Table is a table that is watched for changes, as the catalog has it.
type Table struct {
	Given    string   // as the spec names it
	Name     string   // schema and name, quoted where needed; "" when there is no such table
	OID      uint32   // 0 when there is no such table
	Kind     string   // relkind: r table, p partitioned, v view, m materialized view, f foreign
	Owned    bool     // our role is the owner, or has its rights
	Columns  []string // by their place
	Identity []string // as of a Part, of the table itself
	Parts    []Part   // where its rows lie: itself, its partitions, tables that inherit from it
}

// Part is a relation with rows of a watched table.
type Part struct {
	OID         uint32
	Name        string
	Persistence string   // p permanent, u unlogged, t temporary
	Identity    []string // columns of a row that updates and deletes carry; none: the application's updates would fail once they are published
}

// partitioned reports whether the table has no rows of its own.
func (t Table) partitioned() bool { return t.Kind == "p" }

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
), described AS (
	SELECT root, json_agg(json_build_object('OID', c.oid::bigint, 'Name', format('%I.%I', s.nspname, c.relname), 'Persistence', c.relpersistence,
		'Identity', i.columns) ORDER BY c.oid) AS parts
	FROM parts JOIN pg_class c USING (oid) JOIN pg_namespace s ON s.oid = c.relnamespace LEFT JOIN identities i ON i.oid = c.oid
	WHERE c.relkind <> 'p' GROUP BY root
)
SELECT json_build_object('Given', g.name, 'Name', quote_ident(s.nspname) || '.' || quote_ident(c.relname), 'OID', c.oid::bigint, 'Kind', c.relkind,
	'Owned', pg_has_role(c.relowner, 'USAGE'), 'Parts', d.parts, 'Identity', i.columns,
	'Columns', (SELECT json_agg(a.attname ORDER BY a.attnum) FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped))
FROM given g LEFT JOIN pg_class c ON c.oid = g.oid LEFT JOIN pg_namespace s ON s.oid = c.relnamespace LEFT JOIN described d ON d.root = g.oid
	LEFT JOIN identities i ON i.oid = g.oid
ORDER BY g.at`

// Tables looks up tables by the names that the spec gives them, in that order.
func (s *Source) Tables(ctx context.Context, names []string) (tables []Table, err error) {
	err = s.with(ctx, func(c *pgx.Conn) error {
		res := c.PgConn().ExecParams(ctx, tablesSQL, [][]byte{arrayLiteral(names)}, nil, nil, nil).Read()
		if res.Err != nil {
			return fmt.Errorf("look up the watched tables: %w", res.Err)
		}
		for _, row := range res.Rows {
			var t Table
			if err := json.Unmarshal(row[0], &t); err != nil {
				return fmt.Errorf("look up the watched tables: %w", err)
			}
			if t.OID == 0 {
				t = Table{Given: t.Given}
			}
			tables = append(tables, t)
		}
		return nil
	})
	return tables, err
}
