package feed

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/postgres"
)

// Database is a postgres.Source that can also run the keys queries of watch lists.
type Database struct {
	*postgres.Source
	// Equal finds keys in the cache that are equal to given ones and written otherwise. nil: there are none.
	Equal func(ctx context.Context, job *jobs.Job, keys []jobs.Key) ([]jobs.Key, error)
}

// Resolve asks the keys queries of a part's watches which keys the changed values
// reach, all in one snapshot, and adds these keys to the effect that the part is
// of; and so the keys in the cache that are equal to those that callers have named.
// If a query cannot be run, the whole job is to be run.
func (d Database) Resolve(ctx context.Context, part *Part, effect *Effect) error {
	if err := d.addEqual(ctx, part, effect); err != nil || len(part.Lookups) == 0 {
		return err
	}
	err := d.lookUp(ctx, part, effect)
	if store.Permanent(err) {
		effect.Rerun(part.Job, fmt.Sprintf("a keys query of its watch list failed: %v", err))
		return nil
	}
	return err
}

func (d Database) addEqual(ctx context.Context, part *Part, effect *Effect) error {
	var named []jobs.Key
	for text := range part.Invalidated {
		if key, is := part.Keys[text]; is { // one that no row can have was left out
			named = append(named, key)
		}
	}
	if len(named) == 0 || d.Equal == nil {
		return nil
	}
	equal, err := d.Equal(ctx, part.Job, named)
	if store.Permanent(err) {
		effect.Rerun(part.Job, fmt.Sprintf("keys that are equal to those of a caller cannot be found: %v", err))
		return nil
	}
	if err != nil {
		return err
	}
	for _, key := range equal {
		effect.Key(part.Job, key)
	}
	return nil
}

func (d Database) lookUp(ctx context.Context, part *Part, effect *Effect) error {
	var statements []postgres.Statement
	for _, w := range slices.Sorted(maps.Keys(part.Lookups)) {
		values := slices.Collect(maps.Keys(part.Lookups[w]))
		sql, _ := keysSQL(part.Job, part.Job.Watch[w].Keys, effect.Limit())
		statements = append(statements, postgres.Statement{SQL: sql, Params: [][]byte{postgres.ArrayLiteral(values)}})
	}
	results, err := d.ReadTogether(ctx, part.Job, statements)
	if err != nil {
		return err
	}
	for _, res := range results {
		if err := addKeys(res, part.Job, effect); err != nil {
			return err
		}
	}
	return nil
}

// keysSQL is the statement for a keys query of a job, and the offset of the query in
// it. One row more than the limit is enough to know that it is passed.
func keysSQL(job *jobs.Job, query string, limit int) (sql string, offset int) {
	const prefix = "SELECT * FROM ("
	return postgres.Tag(job, fmt.Sprintf("%s%s\n) AS q LIMIT %d", prefix, query, limit+1), len(prefix))
}

// addKeys adds the keys of a keys query's result. A row with NULL in a key column
// has none.
func addKeys(res *pgconn.Result, job *jobs.Job, effect *Effect) error {
	at := make(map[string]int)
	for _, column := range job.Key.Columns() {
		i := slices.IndexFunc(res.FieldDescriptions, func(f pgconn.FieldDescription) bool { return f.Name == column })
		if i < 0 {
			return &store.ShapeError{Job: job.Name,
				Message: fmt.Sprintf("a keys query of its watch list does not return the key column %s", column)}
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
