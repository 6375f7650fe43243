// Package postgres reads. It streams the rows of one snapshot of a job's query
// in the binary wire format: all of them for a run, those of some keys for a
// refresh. Every reading is one READ ONLY, REPEATABLE READ transaction, and the
// snapshot it saw is read in the same round trip as the query.
package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store/postgres/connector"
	"github.com/stokerhq/stoker/store/postgres/meter"
)

// Source reads jobs' rows from one Postgres. It is safe for concurrent use.
type Source struct {
	pool    *pgxpool.Pool
	timeout time.Duration        // statement_timeout
	tracer  Tracer               // nil: none
	access  *connector.Connector // of the pool

	mu      sync.Mutex
	others  map[jobs.Endpoint]*connector.Connector // of connections beside the pool
	plans   map[string]*plan                       // :: job name -> plan of its query, for refreshes
	history history
}

// Open prepares a pool of at most cfg.MaxConnections connections. It does not
// connect: a database that is down now may be up when the first run is due.
func Open(cfg jobs.Postgres, opts ...Option) (*Source, error) {
	pc, err := connector.ParseURL(cfg.URL)
	if err != nil {
		return nil, fmt.Errorf("postgres.url: %w", err)
	}
	pc.MaxConns = int32(cfg.MaxConnections)
	pc.MinConns = 0
	if !strings.Contains(cfg.URL.Reveal(), "pool_max_conn_idle_time") {
		pc.MaxConnIdleTime = 5 * time.Minute
	}
	SetName(&pc.ConnConfig.Config, "stoker")
	pc.ConnConfig.AfterNetConnect = meter.Wrap
	access := connector.New(cfg.Endpoint())
	pc.BeforeConnect = func(_ context.Context, cc *pgx.ConnConfig) error { return access.Configure(&cc.Config) }
	s := &Source{timeout: cfg.StatementTimeout, access: access, plans: make(map[string]*plan),
		others: make(map[jobs.Endpoint]*connector.Connector)}
	for _, set := range opts {
		set(s, pc)
	}
	// A background context: the pool lives until Close, not as long as a caller.
	if s.pool, err = pgxpool.NewWithConfig(context.Background(), pc); err != nil {
		return nil, fmt.Errorf("open the postgres pool: %w", err)
	}
	return s, nil
}

// Connect opens a connection outside of the pool, to an endpoint of the spec. shape sets what it is for. What a
// connection string says of a pool (pool_max_conns) or of how statements are run is not sent to the server, which would
// refuse it.
func (s *Source) Connect(ctx context.Context, e jobs.Endpoint, shape func(*pgconn.Config)) (conn *pgconn.PgConn,
	err error) {
	s.mu.Lock()
	access := s.others[e]
	if access == nil {
		access = connector.New(e)
		s.others[e] = access
	}
	s.mu.Unlock()
	err = access.Connect(ctx, func() (err error) {
		pc, err := connector.ParseURL(e.URL)
		if err != nil {
			return err
		}
		cfg := &pc.ConnConfig.Config
		shape(cfg)
		if err := access.Configure(cfg); err != nil {
			return err
		}
		conn, err = pgconn.ConnectConfig(ctx, cfg)
		return err
	})
	return conn, err
}

// Close closes every connection. It waits for readings that still go on.
func (s *Source) Close() { s.pool.Close() }

// Ping reports whether the database answers. While every connection is at work
// it has answered: Ping does not wait for one.
func (s *Source) Ping(ctx context.Context) error {
	if st := s.pool.Stat(); st.AcquiredConns() >= st.MaxConns() {
		return nil
	}
	if err := s.access.Connect(ctx, func() error { return s.pool.Ping(ctx) }); err != nil {
		return fmt.Errorf("reach postgres: %w", err)
	}
	return nil
}

// StatementTimeout is how long a statement may take; 0: as long as it needs.
func (s *Source) StatementTimeout() time.Duration { return s.timeout }

// Do runs fn on a connection of its own.
func (s *Source) Do(ctx context.Context, fn func(*pgx.Conn) error) error {
	var c *pgxpool.Conn
	err := s.access.Connect(ctx, func() (err error) { c, err = s.pool.Acquire(ctx); return err })
	if err != nil {
		return fmt.Errorf("connect to postgres: %w%s", err, s.connectHint(err))
	}
	defer c.Release()
	return fn(c.Conn())
}

// connectHint is the next step where the server has refused what the URL says.
func (s *Source) connectHint(err error) string {
	pe, ok := errors.AsType[*pgconn.PgError](err)
	switch {
	case !ok:
		return ""
	case pe.Code == stateUndefinedObject, strings.Contains(pe.Message, "unsupported startup parameter"):
		return " (a parameter of postgres.url is sent to the server as a setting, and this server or its pooler does " +
			"not take it: remove it from the URL; a setting can be given to the role, with ALTER ROLE ... SET)"
	case pe.Code == connector.StateInvalidPassword && s.pool.Config().ConnConfig.Password == "" && !s.access.Reads():
		return " (postgres.url has no password)"
	}
	return ""
}

// Row reads the one row of a small query as text; NULL is "".
func (s *Source) Row(ctx context.Context, sql string, params ...string) (row []string, err error) {
	values := make([][]byte, len(params))
	for i, p := range params {
		values[i] = []byte(p)
	}
	err = s.Do(ctx, func(c *pgx.Conn) error {
		res := c.PgConn().ExecParams(ctx, sql, values, nil, nil, nil).Read()
		if res.Err != nil {
			return fmt.Errorf("ask postgres about its change feed: %w", WithGrant(res.Err))
		}
		for _, v := range res.Rows[0] {
			row = append(row, string(v))
		}
		return nil
	})
	return row, err
}
