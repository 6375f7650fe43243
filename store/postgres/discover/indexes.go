package discover

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// indexed are the keys and indexes of the tables that this role may read: what a reader can name a row by. Partitions
// are their parents' business.
const indexed = `SELECT quote_ident(n.nspname), quote_ident(c.relname), pg_table_is_visible(c.oid), c.reltuples::bigint,
	pg_table_size(c.oid), i.indisunique, coalesce(s.idx_scan, 0),
	(SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY k.n) FROM unnest(i.indkey::int[]) WITH ORDINALITY k(attnum, n)
		JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.attnum WHERE k.n <= i.indnkeyatts),
	(SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) FROM pg_attribute a WHERE a.attrelid = c.oid AND
		a.attnum > 0 AND NOT a.attisdropped AND a.atttypid <> 'bytea'::regtype AND has_column_privilege(c.oid, a.attnum, 'SELECT'))
FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_stat_all_indexes s ON s.indexrelid = i.indexrelid
WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL
	AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast', 'stoker') AND has_schema_privilege(n.oid, 'USAGE')
	AND (i.indisprimary OR i.indnkeyatts = 1 OR i.indisunique)
ORDER BY coalesce(s.idx_scan, 0) DESC, i.indisprimary DESC, 1, 2 LIMIT $1 /* stoker */`

// fromIndexes makes jobs of keys and indexes, the most used first: all that the catalog says of what is read.
func (d *discovery) fromIndexes(ctx context.Context) error {
	rows, err := d.query(ctx, indexed, fmt.Sprint(d.cfg.Statements))
	if err != nil {
		return fmt.Errorf("read the indexes of the database: %w", err)
	}
	d.startBudget()
	anyScan := slices.ContainsFunc(rows, func(r []string) bool { return number(r[6]) > 0 })
	var found []Found
	for _, r := range rows {
		table, scans := r[1], number(r[6])
		if r[2] != "t" {
			table = r[0] + "." + r[1]
		}
		name := table + " (" + r[7] + ")"
		if anyScan && scans == 0 {
			d.report.Left = append(d.report.Left, Left{Query: name, Reason: "its index was never used"})
			continue
		}
		f, why, err := d.proposeIndex(ctx, table, r[7], r[8])
		switch {
		case err != nil:
			return err
		case why != "":
			d.report.Left = append(d.report.Left, Left{Query: name, Reason: why})
		default:
			f.Scans = scans
			found = append(found, *f)
		}
	}
	unique(found)
	d.report.Found = found
	return nil
}

// proposeIndex makes a job of the rows that the columns of an index name.
func (d *discovery) proposeIndex(ctx context.Context, table, key, columns string) (f *Found, why string, err error) {
	if columns == "" || key == "" {
		return nil, "this role may not read it", nil
	}
	if d.late() {
		return nil, "no time was left to measure it", nil
	}
	list := commaSeparated(columns)
	conditions := make([]string, 0)
	for i, column := range commaSeparated(key) {
		if !slices.Contains(list, column) {
			return nil, "this role may not read its key", nil
		}
		conditions = append(conditions, fmt.Sprintf("%s = $%d", column, i+1))
	}
	sql := "SELECT " + columns + " FROM " + table + " WHERE " + strings.Join(conditions, " AND ")
	return d.proposeText(ctx, sql, statement{})
}
