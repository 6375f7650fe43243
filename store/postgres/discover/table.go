package discover

import (
	"context"
	"fmt"
	"slices"

	"github.com/stokerhq/stoker/store/postgres"
)

// Table is a table as the catalog has it.
type Table struct {
	Name    string // as SQL writes it, with its schema
	Columns []string
	Types   []string // of the columns
	Key     []string // columns of the primary key, in its order
}

// Type is the type of a column; "" if there is no such column.
func (t Table) Type(column string) string {
	if i := slices.Index(t.Columns, column); i >= 0 {
		return t.Types[i]
	}
	return ""
}

const tableSQL = `SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname), a.attname,
	format_type(a.atttypid, NULL), coalesce(array_position(i.indkey::int2[], a.attnum), -1)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary
WHERE c.relkind IN ('r', 'p') AND n.nspname = $1 AND c.relname = $2 ORDER BY a.attnum /* stoker */`

// Catalog answers questions about single tables and statements.
type Catalog struct{ d *discovery }

// NewCatalog returns a catalog of the source's database.
func NewCatalog(ctx context.Context, source *postgres.Source) (Catalog, error) {
	c := Catalog{&discovery{cfg: Config{Source: source}, report: &Report{}}}
	return c, c.d.readReserved(ctx)
}

// Quoted is a name as SQL writes it.
func (c Catalog) Quoted(name string) string { return c.d.quoted(name) }

// Table looks a table up. found is false if there is none of that name.
func (c Catalog) Table(ctx context.Context, schema, name string) (t Table, found bool, err error) {
	rows, err := c.d.query(ctx, tableSQL, schema, name)
	if err != nil {
		return t, false, fmt.Errorf("look up table %s.%s: %w", schema, name, err)
	}
	places := make(map[string]int64)
	for _, r := range rows {
		t.Name = r[0]
		t.Columns, t.Types = append(t.Columns, r[1]), append(t.Types, r[2])
		if n := number(r[3]); n >= 0 {
			t.Key, places[r[1]] = append(t.Key, r[1]), n
		}
	}
	slices.SortFunc(t.Key, func(a, b string) int { return int(places[a] - places[b]) })
	return t, len(rows) > 0, nil
}

// Set is a statement that names rows by parameters, as one query for all rows.
type Set struct {
	Query   string
	Keys    []string // columns of the result that the parameters are compared with
	Columns []string // of the result
}

// SetOf makes a Set of a statement, or says why there is none.
func (c Catalog) SetOf(ctx context.Context, sql string) (s Set, why string, err error) {
	original := plain(sql)
	q, why := c.d.newSet(original, 0)
	if why != "" {
		return s, why, nil
	}
	if len(q.keys) == 0 || q.top != 0 {
		return s, "it does not name its rows by = ANY($1)", nil
	}
	sd, refused, err := c.d.describe(ctx, original)
	if err != nil || refused != nil {
		return s, notTaken(refused), err
	}
	q.fields = slices.Clone(sd.Fields)
	q.name(c.d)
	if why, err = c.d.group(ctx, q); why != "" || err != nil {
		return s, why, err
	}
	for _, k := range q.keys {
		s.Keys = append(s.Keys, k.name)
	}
	for _, f := range q.fields {
		s.Columns = append(s.Columns, f.Name)
	}
	s.Query = q.query(c.d, false)
	return s, "", nil
}

// Indented is SQL as it stands inside brackets.
func Indented(sql string) string { return indented(sql) }

// List is a list of SQL, in lines of bearable length.
func List(items []string) string { return folded(items) }
