package feed

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
)

// types holds the types of the columns that name a job's keys against those of the
// key's own columns: what prints otherwise names another key.
func (c *Checkup) types(ctx context.Context, tables []Table) error {
	return c.Source.Do(ctx, func(conn *pgx.Conn) error {
		for _, job := range c.Spec.Jobs {
			for _, w := range job.Watch {
				i := slices.IndexFunc(tables, func(t Table) bool { return t.Given == w.Table })
				if i < 0 || w.Key == nil && w.Keys == "" {
					continue
				}
				if err := c.keyTypes(ctx, conn.PgConn(), job, w, tables[i]); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// keyTypes looks at one watch, in a transaction that does not wait for locked
// tables. A query that cannot be prepared is reported elsewhere.
func (c *Checkup) keyTypes(ctx context.Context, conn *pgconn.PgConn, job *jobs.Job, w jobs.Watch, t Table) error {
	err := c.Source.WithKeyFields(ctx, conn, job, func(keys []pgconn.FieldDescription) error {
		return c.compareTypes(ctx, conn, job, w, t, keys)
	})
	if reportedElsewhere(err) {
		return nil
	}
	return err
}

// compareTypes compares the columns that a watch takes a key from with the key's.
func (c *Checkup) compareTypes(ctx context.Context, conn *pgconn.PgConn, job *jobs.Job, w jobs.Watch, t Table,
	keys []pgconn.FieldDescription) error {
	sql, from := keySource(job, w, t)
	sd, err := conn.Prepare(ctx, "", sql, nil)
	if _, refused := errors.AsType[*pgconn.PgError](err); refused {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look up the types of table %s: %w", t.Name, err)
	}
	for i, column := range job.Key.Columns() {
		at := slices.IndexFunc(sd.Fields, func(f pgconn.FieldDescription) bool { return f.Name == column })
		if at < 0 || samePrint(sd.Fields[at], keys[i]) {
			continue
		}
		names, err := typeNames(ctx, conn, sd.Fields[at], keys[i])
		if err != nil {
			return err
		}
		c.Warn(job.Name, "%s is %s, but column %s of the job's query is %s: where these print otherwise, changes "+
			"name other keys than those in the cache; cast one of them in its query, so that both have one type",
			from(column), names[0], column, names[1])
	}
	return nil
}

// reportedElsewhere: the query itself, or what it returns, is at fault, or a table is locked.
func reportedElsewhere(err error) bool {
	_, refused := errors.AsType[*store.QueryError](err)
	_, shape := errors.AsType[*store.ShapeError](err)
	return refused || shape
}

// keySource is a statement that returns a key's columns from where a watch takes
// them, and what to call each.
func keySource(job *jobs.Job, w jobs.Watch, t Table) (sql string, from func(column string) string) {
	if w.Keys != "" {
		sql, _ = keysSQL(job, w.Keys, 0)
		return sql, func(column string) string {
			return fmt.Sprintf("column %s of the keys query of watched table %s", column, t.Name)
		}
	}
	var list []string
	for _, column := range job.Key.Columns() {
		list = append(list, pgx.Identifier{w.Key[column]}.Sanitize()+" AS "+pgx.Identifier{column}.Sanitize())
	}
	return "SELECT " + strings.Join(list, ", ") + " FROM " + t.Name, func(column string) string {
		return fmt.Sprintf("column %s of watched table %s", w.Key[column], t.Name)
	}
}

var (
	wholeNumbers = []uint32{20, 21, 23}       // bigint, smallint, integer
	texts        = []uint32{25, 1043}         // text, varchar
	asText       = []uint32{20, 21, 23, 2950} // and uuid: their cast to text is what they print
)

// samePrint reports whether a value prints alike in both types.
func samePrint(from, key pgconn.FieldDescription) bool {
	both := func(types []uint32) bool {
		return slices.Contains(types, from.DataTypeOID) && slices.Contains(types, key.DataTypeOID)
	}
	if from.DataTypeOID == key.DataTypeOID && (from.TypeModifier == key.TypeModifier || key.TypeModifier == -1) {
		return true
	}
	return both(wholeNumbers) || both(texts) || slices.Contains(asText, from.DataTypeOID) &&
		slices.Contains(texts, key.DataTypeOID)
}

// typeNames are the SQL names of columns' types.
func typeNames(ctx context.Context, conn *pgconn.PgConn, fields ...pgconn.FieldDescription) (names []string,
	err error) {
	for _, f := range fields {
		res := conn.ExecParams(ctx, "SELECT format_type($1, $2)",
			[][]byte{fmt.Append(nil, f.DataTypeOID), fmt.Append(nil, f.TypeModifier)}, nil, nil, nil).Read()
		if res.Err != nil {
			return nil, fmt.Errorf("name a column's type: %w", res.Err)
		}
		names = append(names, string(res.Rows[0][0]))
	}
	return names, nil
}
