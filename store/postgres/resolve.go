package postgres

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/feed"
)

// Resolve asks the keys queries of a part's watches which keys the changed values
// reach, all in one snapshot, and adds these keys to the effect that the part is
// of. A query that cannot be run makes the part whole.
func (s *Source) Resolve(ctx context.Context, part *feed.Part, effect *feed.Effect) error {
	if len(part.Lookups) == 0 {
		return nil
	}
	err := s.with(ctx, func(c *pgx.Conn) error {
		err := s.lookUp(ctx, c.PgConn(), part, effect)
		if rerr := rollback(ctx, c.PgConn(), part.Job); err == nil {
			err = rerr
		}
		return err
	})
	if store.Permanent(err) {
		effect.Rerun(part.Job, fmt.Sprintf("a keys query of its watch list failed: %v", err))
		return nil
	}
	return err
}

func (s *Source) lookUp(ctx context.Context, c *pgconn.PgConn, part *feed.Part, effect *feed.Effect) error {
	watches := slices.Sorted(maps.Keys(part.Lookups))
	b := s.begin(false, lockWaitRefresh)
	for _, w := range watches {
		values := slices.Collect(maps.Keys(part.Lookups[w]))
		b.ExecParams(keysSQL(part.Job.Watch[w].Keys, effect.Limit()), [][]byte{arrayLiteral(values)}, nil, nil, nil)
	}
	results, err := c.ExecBatch(ctx, b).ReadAll()
	if err != nil {
		return queryError(part.Job, err, noPosition)
	}
	if _, err := snapshot(results[1].Rows[0]); err != nil { // a standby
		return err
	}
	for i := range watches {
		if err := addKeys(results[2+i], part.Job, effect); err != nil {
			return err
		}
	}
	return nil
}

// keysSQL is the statement for a keys query. One row more than the limit is enough
// to know that it is passed.
func keysSQL(query string, limit int) string {
	return fmt.Sprintf("%s%s\n) AS q LIMIT %d", keysPrefix, query, limit+1)
}

const keysPrefix = "SELECT * FROM ("

// addKeys adds the keys of a keys query's result. A row with NULL in a key column
// has none.
func addKeys(res *pgconn.Result, job *jobs.Job, effect *feed.Effect) error {
	at := make(map[string]int)
	for _, column := range job.Key.Columns() {
		i := slices.IndexFunc(res.FieldDescriptions, func(f pgconn.FieldDescription) bool { return f.Name == column })
		if i < 0 {
			return shapeError(job, fmt.Sprintf("a keys query of its watch list does not return the key column %s", column))
		}
		at[column] = i
	}
	for _, row := range res.Rows {
		key := make(jobs.Key, len(at))
		for column, i := range at {
			if row[i] == nil {
				break
			}
			key[column] = string(row[i])
		}
		if len(key) == len(at) {
			effect.Key(job, key)
		}
	}
	return nil
}
