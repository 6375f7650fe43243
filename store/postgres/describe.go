package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/jackc/pgx/v5"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
)

// ServerInfo is what `stoker check` wants to know of the database server.
type ServerInfo struct {
	Version  int    // as server_version_num: 150018
	Text     string // "15.18"
	Encoding string // of the database
	Standby  bool
	User     string
}

// Server asks the database server about itself.
func (s *Source) Server(ctx context.Context) (info ServerInfo, err error) {
	err = s.Do(ctx, func(c *pgx.Conn) error {
		res := c.PgConn().ExecParams(ctx, `SELECT current_setting('server_version_num'), current_setting('server_version'),
			current_setting('server_encoding'), pg_is_in_recovery()::text, current_user::text`, nil, nil, nil, nil).Read()
		if res.Err != nil {
			return fmt.Errorf("ask postgres about itself: %w", res.Err)
		}
		row := res.Rows[0]
		info = ServerInfo{Text: string(row[1]), Encoding: string(row[2]), Standby: string(row[3]) == "true",
			User: string(row[4])}
		info.Version, err = strconv.Atoi(string(row[0]))
		return err
	})
	return info, err
}

// Shape is what a job's query returns.
type Shape struct {
	Columns   []store.Column
	Keys      []int    // the key template's columns
	Converted []string // columns whose JSON Postgres builds, for their type
	Inexact   []string // key columns whose equal values can have several texts
}

// Describe prepares the job's query, holds what it returns against the job, and
// reports it. It runs nothing.
func (s *Source) Describe(ctx context.Context, job *jobs.Job) (shape Shape, err error) {
	err = s.Do(ctx, func(c *pgx.Conn) error {
		p, err := s.describe(ctx, c.PgConn(), job, lockWaitRefresh)
		if err != nil {
			return err
		}
		shape = Shape{Columns: slices.Clone(p.columns), Keys: p.keys}
		for i, col := range p.columns {
			if p.converted(i) {
				shape.Converted = append(shape.Converted, fmt.Sprintf("%s (%s)", col.Name, col.Type))
			}
		}
		for i, k := range p.keys {
			if !p.equal[i].exact {
				shape.Inexact = append(shape.Inexact, fmt.Sprintf("%s (%s)", p.columns[k].Name, p.columns[k].Type))
			}
		}
		return nil
	})
	return shape, err
}

// Cost is what the planner expects of a job.
type Cost struct {
	Rows    int64   // of a run
	Run     float64 // in the planner's units
	Refresh float64 // of one key
}

// Estimate is how many rows the planner expects of a run.
func (s *Source) Estimate(ctx context.Context, job *jobs.Job) (rows int64, err error) {
	err = s.Do(ctx, func(c *pgx.Conn) (err error) {
		p, err := s.enter(ctx, c.PgConn(), job, lockWaitRefresh)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, rollback(ctx, c.PgConn(), job)) }()
		sql, offset := p.runSQL()
		_, rows, err = estimate(ctx, c, p, sql, offset, nil)
		return err
	})
	return rows, err
}

// Explain has Postgres plan a run and a refresh of the job. The planner also
// checks that we may read the tables.
func (s *Source) Explain(ctx context.Context, job *jobs.Job) (cost Cost, err error) {
	err = s.Do(ctx, func(c *pgx.Conn) (err error) {
		p, err := s.enter(ctx, c.PgConn(), job, lockWaitRefresh)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, rollback(ctx, c.PgConn(), job)) }()
		sql, offset := p.runSQL()
		if cost.Run, cost.Rows, err = estimate(ctx, c, p, sql, offset, nil); err != nil {
			return err
		}
		params := make([][]byte, len(p.keys))
		for i := range params {
			params[i] = []byte("{NULL}")
		}
		sql, offset = p.refreshSQL()
		cost.Refresh, _, err = estimate(ctx, c, p, sql, offset, params)
		return err
	})
	return cost, err
}

func estimate(ctx context.Context, c *pgx.Conn, p *plan, sql string, offset int, params [][]byte) (total float64,
	rows int64, err error) {
	const prefix = "EXPLAIN (FORMAT JSON) "
	res := c.PgConn().ExecParams(ctx, prefix+sql, params, nil, nil, nil).Read()
	if res.Err != nil {
		return 0, 0, queryError(p.job, res.Err, offset+len(prefix))
	}
	var out []struct {
		Plan struct {
			Cost float64 `json:"Total Cost"`
			Rows int64   `json:"Plan Rows"`
		}
	}
	if err := json.Unmarshal(res.Rows[0][0], &out); err != nil || len(out) != 1 {
		return 0, 0, fmt.Errorf("read the plan of job %s: %v", p.job.Name, err)
	}
	return out[0].Plan.Cost, out[0].Plan.Rows, nil
}
