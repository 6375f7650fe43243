package checker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"

	"github.com/stokerhq/stoker/store/testserver"
)

// Options are what one world is like.
type Options struct {
	Binary   string // of stoker
	Before   string // of another version, which one of the daemons is of; "": none is
	BeforeAt int    // which daemon that is
	Mutant   string // which one is alive in it; "": none
	Seed     uint64
	Log      io.Writer
	Source   string        // of changes: none, wal, outbox
	Slot     string        // of the wal: temporary (default), permanent
	Grace    time.Duration // stale_grace; default 30s
	Life     time.Duration // of what a book remembers, in a build that has the overlay; 0: as usual
	OwnQueue bool          // the queue has a Redis of its own
	Roles    []string      // of each daemon; default: all, and all but the scheduler
	// two more specs, each with a namespace and a database of its own, share the Redis servers
	Neighbours bool
	Settings   []string // of Postgres, besides those that every world needs
}

// Cluster is the servers, daemons, writers and readers of one check.
type Cluster struct {
	o          Options
	dir        string
	postgres   *testserver.Postgres
	redis      *testserver.Redis
	queue      *testserver.Redis // redis, unless it has one of its own
	daemons    []*daemon
	neighbours []*neighbour
	cache      *redis.Client // past all proxies
	history    *history

	servers sync.Mutex // held by who stops or starts a server

	mu       sync.Mutex
	begun    time.Time
	faults   int       // that go on now
	faulty   bool      // there has been one
	calm     time.Time // since when there are none
	findings []Finding
	known    map[string]bool // :: invariant and key that was found
	found    chan struct{}   // closed with the first finding
	counts   map[string]int  // what happened
}

// NewWorld starts servers and daemons, and waits until every key is warm.
func NewCluster(ctx context.Context, o Options) (w *Cluster, err error) {
	w = &Cluster{o: o.filled(), history: newHistory(), found: make(chan struct{}), counts: make(map[string]int),
		known: make(map[string]bool), begun: time.Now(), calm: time.Now()}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.Close())
		}
	}()
	if w.dir, err = os.MkdirTemp("", "stoker-checker-"); err != nil {
		return w, fmt.Errorf("make a folder for a world: %w", err)
	}
	if err := w.startServers(ctx); err != nil {
		return w, err
	}
	if err := w.startDaemons(); err != nil {
		return w, err
	}
	if err := w.startNeighbours(ctx); err != nil {
		return w, err
	}
	if diff := w.awaitAgreement(ctx, warmLimit); diff != "" {
		return w, fmt.Errorf("not warm within %s: %s\n%s", warmLimit, diff, w.logs())
	}
	if err := w.until(ctx, "changes are followed, and what was missed before is made up for",
		func() (bool, error) { return w.followed(ctx) }); err != nil {
		return w, err
	}
	w.mu.Lock()
	w.begun, w.calm = time.Now(), time.Now()
	w.mu.Unlock()
	return w, nil
}

// warmLimit is how long the first runs may take, on the slowest machine.
const warmLimit = 60 * time.Second

func (o Options) filled() Options {
	if o.Log == nil {
		o.Log = io.Discard
	}
	if o.Source == "" {
		o.Source = "none"
	}
	if o.Slot == "" {
		o.Slot = "temporary"
	}
	if o.Grace == 0 {
		o.Grace = 30 * time.Second
	}
	if o.Roles == nil {
		o.Roles = []string{"scheduler,worker,changes,admin", "worker,changes,admin"}
	}
	return o
}

func (w *Cluster) startServers(ctx context.Context) (err error) {
	settings := append([]string{"max_prepared_transactions = 20", "max_wal_senders = 8", "max_replication_slots = 8",
		"max_connections = 80"}, w.o.Settings...)
	if w.postgres, err = testserver.StartPostgres(ctx, settings...); err != nil {
		return err
	}
	if w.redis, err = testserver.StartRedis(ctx); err != nil {
		return err
	}
	if w.queue = w.redis; w.o.OwnQueue {
		if w.queue, err = testserver.StartRedis(ctx); err != nil {
			return err
		}
	}
	o, err := redis.ParseURL(w.redis.URL(0))
	if err != nil {
		return err
	}
	w.cache = redis.NewClient(o)
	if err := w.exec(ctx, append([]string{schemaSQL}, fill()...)...); err != nil {
		return fmt.Errorf("make the tables: %w", err)
	}
	return nil
}

// connect opens a session past all proxies.
func (w *Cluster) connect(ctx context.Context) (*pgx.Conn, error) {
	return connectTo(ctx, w.postgres.URL("postgres"))
}

func connectTo(ctx context.Context, url string) (*pgx.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	return pgx.Connect(ctx, url)
}

// exec runs statements in a session of their own.
func (w *Cluster) exec(ctx context.Context, statements ...string) error {
	return execAt(ctx, w.postgres.URL("postgres"), statements...)
}

// execAt is exec in another database.
func execAt(ctx context.Context, url string, statements ...string) error {
	conn, err := connectTo(ctx, url)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	for _, sql := range statements {
		if _, err := conn.Exec(ctx, sql); err != nil {
			return fmt.Errorf("%w in %s", err, sql)
		}
	}
	return nil
}

// Close ends everything and removes what it wrote.
func (w *Cluster) Close() (err error) {
	for _, d := range w.daemons {
		d.close()
	}
	w.closeNeighbours()
	if w.cache != nil {
		err = w.cache.Close()
	}
	if w.queue != nil && w.queue != w.redis {
		err = errors.Join(err, w.queue.Close())
	}
	if w.redis != nil {
		err = errors.Join(err, w.redis.Close())
	}
	if w.postgres != nil {
		err = errors.Join(err, w.postgres.Close())
	}
	return errors.Join(err, os.RemoveAll(w.dir))
}
