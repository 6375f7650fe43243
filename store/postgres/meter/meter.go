// Package meter measures how long a connection to Postgres is waited for.
package meter

import (
	"context"
	"net"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/stokerhq/stoker/store"
)

// Conn is a connection to Postgres that measures how long it is waited for: what Postgres works, and not what it
// waits for us because Redis takes the rows slowly. It costs two looks at the clock for each read of some KB.
type Conn struct {
	net.Conn
	waited  atomic.Int64 // ns, in all reads that have ended
	waiting atomic.Int64 // when the read at hand began, in unix ns; 0: none is
}

// Wrap is a pgconn.Config.AfterNetConnect.
func Wrap(_ context.Context, _ *pgconn.Config, c net.Conn) (net.Conn, error) {
	return &Conn{Conn: c}, nil
}

// Read measures.
func (m *Conn) Read(b []byte) (int, error) {
	began := time.Now()
	m.waiting.Store(began.UnixNano())
	n, err := m.Conn.Read(b)
	m.waiting.Store(0)
	m.waited.Add(int64(time.Since(began)))
	return n, err
}

// Total is how long Postgres was waited for on this connection.
func (m *Conn) Total() time.Duration {
	total := time.Duration(m.waited.Load())
	if since := m.waiting.Load(); since > 0 {
		total += time.Since(time.Unix(0, since))
	}
	return total
}

// Watch calls expired, once, when Postgres was waited for longer than limit from now on.
func (m *Conn) Watch(limit time.Duration, expired func()) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	from := m.Total()
	go func() {
		for store.Sleep(ctx, min(max(limit/20, 5*time.Millisecond), 100*time.Millisecond)) {
			if m.Total()-from > limit {
				expired()
				return
			}
		}
	}()
	return cancel
}
