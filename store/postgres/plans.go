package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
)

// Plans are the plans of a job's query, as EXPLAIN (VERBOSE, FORMAT JSON) prints them.
type Plans struct {
	Snapshot store.Snapshot // in which they were made
	Run      []byte         // of the query as it stands
	Key      []byte         // with the condition that each key column equals its marker; nil: the key has no columns
}

// KeyMarker is the text in the plan of a key's condition that stands for the value of a key column, followed by
// the column's index. It is the name of a setting that does not exist: the planner cannot know its value, and takes
// it for one that stays the same.
const KeyMarker = "stoker.key"

// planSettings keep a plan to a form that says which conditions each scan has, whatever the statistics and the
// number of processors, with all parts of a table. A sub-select whose rows are hashed has its condition in no scan.
const planSettings = `SELECT set_config('enable_partition_pruning', 'off', true),
	set_config('max_parallel_workers_per_gather', '0', true), set_config('enable_memoize', 'off', true),
	set_config('work_mem', '64kB', true), set_config('hash_mem_multiplier', '1', true),
	set_config('role', $1, true)`

// WithPlans plans the job's query and calls fn in the transaction of the plans. Nothing is run. It does not wait long
// for locked tables.
func (s *Source) WithPlans(ctx context.Context, job *jobs.Job,
	fn func(c *pgconn.PgConn, p Plans) error) error {
	return s.Do(ctx, func(c *pgx.Conn) (err error) {
		p, err := s.enter(ctx, c.PgConn(), job, lockWaitRefresh)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, rollback(ctx, c.PgConn(), job)) }()
		plans, err := s.explain(ctx, c.PgConn(), p)
		if err != nil {
			return err
		}
		return fn(c.PgConn(), plans)
	})
}

// explain plans the query in the open transaction.
func (s *Source) explain(ctx context.Context, c *pgconn.PgConn, p *plan) (out Plans, err error) {
	const prefix = "EXPLAIN (VERBOSE, FORMAT JSON) "
	snapshot, err := s.SnapshotSQL(ctx, c)
	if err != nil {
		return out, err
	}
	res := c.ExecParams(ctx, ownRole, nil, nil, nil, nil).Read()
	if res.Err == nil {
		res = c.ExecParams(ctx, snapshot, nil, nil, nil, nil).Read()
	}
	if res.Err == nil {
		out.Snapshot, res.Err = ReadSnapshot(c, res.Rows[0])
	}
	if res.Err == nil {
		res.Err = c.ExecParams(ctx, planSettings, [][]byte{roleOf(p.job)}, nil, nil, nil).Read().Err
	}
	if res.Err != nil {
		return out, fmt.Errorf("plan the query of job %s: %w", p.job.Name, res.Err)
	}
	sql, offset := Tag(p.job, p.job.Query, 0)
	if res = c.ExecParams(ctx, prefix+sql, nil, nil, nil, nil).Read(); res.Err != nil {
		return out, queryError(p.job, res.Err, len(prefix)+offset)
	}
	out.Run = res.Rows[0][0]
	if len(p.keys) == 0 {
		return out, nil
	}
	sql, offset = p.markedSQL()
	if res = c.ExecParams(ctx, prefix+sql, nil, nil, nil, nil).Read(); res.Err != nil {
		return out, queryError(p.job, res.Err, len(prefix)+offset)
	}
	out.Key = res.Rows[0][0]
	return out, nil
}

// markedSQL is the job's query with the condition that each key column equals its marker.
func (p *plan) markedSQL() (string, int) {
	conditions := make([]string, len(p.keys))
	for i, k := range p.keys {
		conditions[i] = fmt.Sprintf("%s = current_setting('%s%d', true)::%s", p.ref(k), KeyMarker, i, p.loose[i])
	}
	const head = "SELECT * "
	return Tag(p.job, head+p.body()+"\nWHERE "+strings.Join(conditions, " AND "), len(head)+len(bodyPrefix))
}

// Start has Postgres begin the job's query as a run does, in a READ ONLY transaction, and read no row: it finds what
// such a transaction refuses before any row is read.
func (s *Source) Start(ctx context.Context, job *jobs.Job) error {
	return s.Do(ctx, func(c *pgx.Conn) error {
		_, err := s.enter(ctx, c.PgConn(), job, lockWaitRefresh)
		if err != nil {
			return err
		}
		const prefix = "DECLARE stoker_start NO SCROLL CURSOR FOR "
		sql, offset := Tag(job, job.Query, 0)
		if err = c.PgConn().ExecParams(ctx, prefix+sql, nil, nil, nil, nil).Read().Err; err != nil {
			err = queryError(job, err, len(prefix)+offset)
		}
		return errors.Join(err, rollback(ctx, c.PgConn(), job))
	})
}
