package feed

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/stokerhq/stoker/store/postgres"
)

// lookUpEach looks up the tables whose names Postgres takes; of the others it notes the fault. So one wrong name is
// the problem of its own jobs. cause is returned if no name is at fault.
func lookUpEach(ctx context.Context, conn *pgconn.PgConn, names []string, cause error) ([]Table, error) {
	faults := make(map[string]string) // :: name -> why it is refused
	for _, name := range names {
		res := conn.ExecParams(ctx, "SELECT to_regclass($1)", [][]byte{[]byte(name)}, nil, nil, nil).Read()
		if pe, refused := errors.AsType[*pgconn.PgError](res.Err); refused {
			faults[name] = pe.Message
			if pe.Code == "42501" {
				faults[name] += " (grant its USAGE to Stoker's role)"
			}
		} else if res.Err != nil {
			return nil, res.Err
		}
	}
	if len(faults) == 0 {
		return nil, cause
	}
	good := slices.DeleteFunc(slices.Clone(names), func(name string) bool { return faults[name] != "" })
	found, err := lookUp(ctx, conn, good)
	if err != nil {
		return nil, err
	}
	tables := make([]Table, len(names))
	for i, name := range names {
		if fault := faults[name]; fault != "" {
			tables[i] = Table{Given: name, Fault: fault}
			continue
		}
		tables[i], found = found[0], found[1:]
	}
	return tables, nil
}

// nearSQL finds tables that have the name $1 but for upper and lower case, or lie in a schema that is not in the
// search_path.
const nearSQL = `SELECT CASE WHEN pg_table_is_visible(c.oid) THEN quote_ident(c.relname) ELSE quote_ident(n.nspname) || '.' || quote_ident(c.relname) END
FROM (SELECT parse_ident($1) AS parts) AS g, pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
	AND lower(c.relname) = lower(parts[cardinality(parts)]) AND (cardinality(parts) = 1 OR lower(n.nspname) = lower(parts[cardinality(parts) - 1]))
ORDER BY pg_table_is_visible(c.oid) DESC, 1 LIMIT 3`

// TablesLike finds tables whose names differ from one by upper and lower case, or that lie in a schema that is not in
// the search_path. It is for a hint: an error is as if there were none.
func TablesLike(ctx context.Context, s *postgres.Source, name string) (names []string) {
	err := s.Do(ctx, func(c *pgx.Conn) (err error) {
		names, err = near(ctx, c.PgConn(), name)
		return err
	})
	if err != nil {
		return nil
	}
	return names
}

func near(ctx context.Context, conn *pgconn.PgConn, given string) (names []string, err error) {
	res := conn.ExecParams(ctx, nearSQL, [][]byte{[]byte(given)}, nil, nil, nil).Read()
	if _, refused := errors.AsType[*pgconn.PgError](res.Err); refused {
		return nil, nil // no identifiers: nothing is near
	}
	for _, row := range res.Rows {
		names = append(names, string(row[0]))
	}
	return names, res.Err
}

// missing says that a table cannot be found by its name, and how to write it.
func (t Table) missing() string {
	switch {
	case t.Fault != "":
		return fmt.Sprintf("the watched table %s cannot be looked up: %s; correct its name, as in product or "+
			"shop.product", t.Given, t.Fault)
	case len(t.Near) > 0:
		return fmt.Sprintf("the watched table %s does not exist; there is %s: write it so, table: %s", t.Given,
			strings.Join(t.Near, ", and "), inYAML(t.Near[0]))
	}
	return fmt.Sprintf("the watched table %s does not exist, or is not in the search_path of Stoker's role: correct "+
		"its name, or write schema.table", t.Given)
}

// inYAML is a name as it stands in the spec.
func inYAML(name string) string {
	if !strings.Contains(name, `"`) {
		return name
	}
	return "'" + strings.ReplaceAll(name, "'", "''") + "'"
}

// spelled is the hint that a column is there, but for upper and lower case; "" if it is not.
func spelled(column string, columns []string) string {
	i := slices.IndexFunc(columns, func(c string) bool { return strings.EqualFold(c, column) })
	if i < 0 {
		return ""
	}
	return "; upper and lower case count: write it so: " + columns[i]
}
