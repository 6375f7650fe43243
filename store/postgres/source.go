// Package postgres reads. It streams the rows of one snapshot of a job's query
// in the binary wire format: all of them for a run, those of some keys for a
// refresh. Every reading is one READ ONLY, REPEATABLE READ transaction, and the
// snapshot it saw is read in the same round trip as the query.
package postgres

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/stokerhq/stoker/jobs"
)

// Source reads jobs' rows from one Postgres. It is safe for concurrent use.
type Source struct {
	pool    *pgxpool.Pool
	timeout time.Duration // statement_timeout
	refused atomic.Int64

	mu    sync.Mutex
	plans map[string]*plan // :: job name -> plan of its query, for refreshes
}

// Open prepares a pool of at most cfg.MaxConnections connections. It does not
// connect: a database that is down now may be up when the first run is due.
func Open(cfg jobs.Postgres) (*Source, error) {
	pc, err := pgxpool.ParseConfig(cfg.URL.Reveal())
	if err != nil {
		return nil, fmt.Errorf("postgres.url: %w", err)
	}
	pc.MaxConns = int32(cfg.MaxConnections)
	pc.MinConns = 0
	pc.MaxConnIdleTime = 5 * time.Minute
	if pc.ConnConfig.ConnectTimeout == 0 {
		pc.ConnConfig.ConnectTimeout = 10 * time.Second
	}
	if pc.ConnConfig.RuntimeParams["application_name"] == "" {
		pc.ConnConfig.RuntimeParams["application_name"] = "stoker"
	}
	// A background context: the pool lives until Close, not as long as a caller.
	pool, err := pgxpool.NewWithConfig(context.Background(), pc)
	if err != nil {
		return nil, fmt.Errorf("open the postgres pool: %w", err)
	}
	return &Source{pool: pool, timeout: cfg.StatementTimeout, plans: make(map[string]*plan)}, nil
}

// Close closes every connection. It waits for readings that still go on.
func (s *Source) Close() { s.pool.Close() }

// Ping reports whether the database answers. While every connection is at work
// it has answered: Ping does not wait for one.
func (s *Source) Ping(ctx context.Context) error {
	if st := s.pool.Stat(); st.AcquiredConns() >= st.MaxConns() {
		return nil
	}
	if err := s.pool.Ping(ctx); err != nil {
		return fmt.Errorf("reach postgres: %w", err)
	}
	return nil
}

// Connections is how many connections are open now, for metrics.
func (s *Source) Connections() int { return int(s.pool.Stat().TotalConns()) }

// Refused is how many calls of stoker_invalidate its outbox feeds have skipped,
// because they name no job of the spec, or no key of that job; for metrics.
func (s *Source) Refused() int64 { return s.refused.Load() }

// with runs fn on a connection of its own.
func (s *Source) with(ctx context.Context, fn func(*pgx.Conn) error) error {
	c, err := s.pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("connect to postgres: %w", err)
	}
	defer c.Release()
	return fn(c.Conn())
}
