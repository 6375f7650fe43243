package discover

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store/postgres"
)

// plan is the planner's opinion of a query.
func (d *discovery) plan(ctx context.Context, sql string) (cost float64, rows int64, refused *pgconn.PgError,
	err error) {
	out, err := d.query(ctx, ours+"EXPLAIN (FORMAT JSON) "+sql)
	if pe, ok := errors.AsType[*pgconn.PgError](err); ok {
		return 0, 0, pe, nil
	} else if err != nil {
		return 0, 0, nil, err
	}
	var plans []struct {
		Plan struct {
			Cost float64 `json:"Total Cost"`
			Rows int64   `json:"Plan Rows"`
		}
	}
	if err := json.Unmarshal([]byte(out[0][0]), &plans); err != nil || len(plans) != 1 {
		return 0, 0, nil, fmt.Errorf("read a plan: %v", err)
	}
	return plans[0].Plan.Cost, plans[0].Plan.Rows, nil, nil
}

// comparedKeys is for how many keys a job is compared with the statement that it stands for.
const comparedKeys = 3

// compare runs the statement and the job's query for some keys, in one snapshot, and holds their rows against each
// other.
func (d *discovery) compare(ctx context.Context, q *set, f *Found) (why string, err error) {
	err = d.in(ctx, func(c *pgconn.PgConn) error {
		keys, err := d.someKeys(ctx, c, q, f)
		if err != nil {
			return err
		}
		for _, key := range keys {
			if why, err = d.compareKey(ctx, c, q, f, key); why != "" || err != nil {
				return err
			}
		}
		return nil
	})
	if pe, ok := errors.AsType[*pgconn.PgError](err); ok {
		return "it cannot be compared with its original: " + pe.Message, nil
	}
	return why, err
}

// someKeys are keys from the beginning, the middle and the end of the first of them; one empty key if the job has
// one.
func (d *discovery) someKeys(ctx context.Context, c *pgconn.PgConn, q *set, f *Found) (keys [][]string, err error) {
	if len(q.keys) == 0 {
		return [][]string{nil}, nil
	}
	columns, present := make([]string, len(q.keys)), make([]string, len(q.keys))
	for i, k := range q.keys {
		columns[i] = "q." + d.quoted(k.name) + "::text"
		present[i] = "q." + d.quoted(k.name) + " IS NOT NULL"
	}
	rows, err := read(ctx, c, ours+"SELECT DISTINCT "+strings.Join(columns, ", ")+" FROM (SELECT * FROM ("+f.Query+
		"\n) AS q WHERE "+strings.Join(present, " AND ")+" LIMIT 1000) AS q ORDER BY 1")
	if err != nil || len(rows) <= comparedKeys {
		return rows, err
	}
	return [][]string{rows[0], rows[len(rows)/2], rows[len(rows)-1]}, nil
}

// compareKey compares one key.
func (d *discovery) compareKey(ctx context.Context, c *pgconn.PgConn, q *set, f *Found, key []string) (string, error) {
	params := make([]string, len(parameters(q.original)))
	for i := range params {
		b, known := q.bound["$"+strconv.Itoa(i+1)]
		switch {
		case !known:
			return "one of its values is not understood", nil
		case b.key < 0:
			params[i] = b.value
		case b.array:
			params[i] = string(postgres.ArrayLiteral(key[b.key : b.key+1]))
		default:
			params[i] = key[b.key]
		}
	}
	want, err := read(ctx, c, ours+q.original, params...)
	if err != nil {
		return "", err
	}
	conditions := make([]string, len(q.keys))
	for i, k := range q.keys {
		conditions[i] = fmt.Sprintf("q.%s = $%d", d.quoted(k.name), i+1)
	}
	sql := ours + "SELECT * FROM (" + f.Query + "\n) AS q"
	if len(conditions) > 0 {
		sql += " WHERE " + strings.Join(conditions, " AND ")
	}
	got, err := read(ctx, c, sql, key...)
	if err != nil {
		return "", err
	}
	for i, row := range got {
		got[i] = row[:min(len(row), len(q.fields))]
	}
	if f.Value == jobs.ValueRow && len(got) > 1 || !alikeRows(got, want, q.top > 0) {
		return fmt.Sprintf("the query for all keys does not give the same rows: %d instead of %d for a key", len(got),
			len(want)), nil
	}
	return "", nil
}

// alikeRows reports whether two results have the same rows, in any order: rows that tie may come in either. Where
// they are cut off after some rows, ties may decide which rows there are.
func alikeRows(a, b [][]string, cut bool) bool {
	if len(a) != len(b) || cut {
		return len(a) == len(b)
	}
	sorted := func(rows [][]string) []string {
		list := make([]string, len(rows))
		for i, r := range rows {
			list[i] = strings.Join(r, "\x00")
		}
		slices.Sort(list)
		return list
	}
	return slices.Equal(sorted(a), sorted(b))
}
