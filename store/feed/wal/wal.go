// Package wal is the change feed from Postgres' write-ahead log: it makes the publication
// and the slot, decodes what the slot sends, and checks beforehand that server, role and
// tables allow that.
package wal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store/feed"
	"github.com/stokerhq/stoker/store/postgres"
	"github.com/stokerhq/stoker/store/postgres/connector"
)

// Feed is the change feed from Postgres' write-ahead log: logical decoding by
// pgoutput, protocol version 1, on a connection of its own. A goroutine reads it
// and answers Postgres, also while Next is not called.
type Feed struct {
	queue   *feed.CommitQueue
	conn    *pgconn.PgConn
	slot    string
	decoder *decoder
	origin  string // of what is streamed
	log     *slog.Logger
	cancel  context.CancelFunc
	reading sync.WaitGroup

	mu        sync.Mutex
	pushed    uint64        // position of the newest that was queued
	done      []doneAt      // positions that Done was told, and Postgres not yet
	ackLSN    uint64        // position that Postgres may be told
	received  pglogrepl.LSN // how far Postgres has sent
	ackEvery  time.Duration // how often Postgres is told how far we are
	ackDelay  time.Duration // how old a fence is when Postgres is told
	permanent bool          // the slot is permanent: Postgres is told what is done, not what is seen
	aim       aim           // where the log ended a moment ago; the zero value: none is waited for
	through   time.Time     // all that was committed before was pushed; zero: not known
}

// Config is what a feed needs.
type Config struct {
	// Source is the database of the watched tables, at postgres.url.
	Source *postgres.Source
	// Spec names the tables, the publication and slot, and changes.url, which the feed
	// opens a replication connection to.
	Spec *jobs.Spec
	// Log is required.
	Log *slog.Logger
}

// Open opens the feed of the tables that the spec's jobs watch. The publication
// comes first and the slot second, because a slot cannot decode what was written
// before its publication was there. A permanent slot that another process still reads
// from is taken over: the caller guarantees that it alone follows.
func Open(ctx context.Context, cfg Config) (*Feed, feed.Start, error) {
	s, spec := cfg.Source, cfg.Spec
	var start feed.Start
	public, err := publish(ctx, s, spec)
	if err != nil {
		return nil, start, err
	}
	conn, err := replicate(ctx, s, spec.Changes.Endpoint())
	if err != nil {
		return nil, start, err
	}
	w := &Feed{queue: feed.NewCommitQueue(longestQueue), conn: conn, log: cfg.Log,
		decoder: newDecoder(spec, public.tables), ackEvery: defaultAckEvery, ackDelay: failover}
	w.permanent = spec.Changes.Slot == jobs.SlotPermanent
	if start, err = w.begin(ctx, s, spec.Changes, public.place(spec)); err != nil {
		return nil, start, errors.Join(err, conn.Close(context.WithoutCancel(ctx)))
	}
	reading, cancel := context.WithCancel(context.WithoutCancel(ctx))
	w.cancel = cancel
	w.reading.Go(func() { w.read(reading) })
	w.reading.Go(func() { w.guard(reading, s, spec, public) })
	if spec.HasObjective() {
		start.Through = w.completeBefore
		w.reading.Go(func() { w.measure(reading, s) })
	}
	return w, start, nil
}

// printSQL has values printed as in every reading, so that the text of a key is the
// same. It is said in the session: a pooler may keep back what is said to open one.
var printSQL = postgres.SetSQL("; ") + "; SET client_encoding = 'UTF8'"

// senderName is what a replication connection is called, unless its URL says otherwise.
const senderName = "stoker changes"

// replicate opens a connection that speaks the replication protocol.
func replicate(ctx context.Context, s *postgres.Source, e jobs.Endpoint) (*pgconn.PgConn, error) {
	if err := connector.CheckURL(e.URL); err != nil {
		return nil, fmt.Errorf("%s: %w", e.Name("url"), err)
	}
	conn, err := s.Connect(ctx, e, func(cfg *pgconn.Config) {
		cfg.RuntimeParams["replication"] = "database"
		postgres.SetName(cfg, senderName)
	})
	if err != nil {
		return nil, fmt.Errorf("open a replication connection (it needs a role with REPLICATION, and no pooler in "+
			"between: see `stoker check`): %w", err)
	}
	if _, err := conn.Exec(ctx, printSQL).ReadAll(); err != nil {
		return nil, errors.Join(fmt.Errorf("set up the replication connection: %w", err), conn.Close(ctx))
	}
	return conn, nil
}

// begin finds or makes the slot, and starts to stream from it.
func (w *Feed) begin(ctx context.Context, s *postgres.Source, c jobs.Changes, place string) (feed.Start, error) {
	start, err := w.makeSlot(ctx, s, c, place)
	if err != nil {
		return start, err
	}
	now, err := postgres.SnapshotOn(ctx, w.conn)
	if err != nil {
		return start, fmt.Errorf("read the origin of the change feed: %w", err)
	}
	start.Origin, w.origin = now.Origin, now.Origin
	w.ackLSN = start.Position
	args := []string{"proto_version '1'", "publication_names '" + c.Name + "'"}
	if err := pglogrepl.StartReplication(ctx, w.conn, w.slot, 0,
		pglogrepl.StartReplicationOptions{PluginArgs: args}); err != nil {
		return start, fmt.Errorf("stream changes from slot %s: %w", w.slot, err)
	}
	return start, nil
}

// Next waits for commits and returns those since the last call. It is not an
// error that ctx has ended: then there are none.
func (w *Feed) Next(ctx context.Context) ([]*feed.Commits, error) { return w.queue.Next(ctx) }

// End ends the feed: Next returns err once it has returned what came before. The
// first error counts.
func (w *Feed) End(err error) { w.queue.End(err) }

// longestQueue is how many transactions wait for Next on their own.
const longestQueue = 256

// push passes a transaction to Next. It is called by the goroutine that reads.
func (w *Feed) push(c *feed.Commits) {
	w.mu.Lock()
	w.pushed = c.Position
	w.mu.Unlock()
	w.queue.Push(c)
}

// doneAt is a position that was done.
type doneAt struct {
	position uint64
	at       time.Time
}

// failover is how old a fence is when it is taken to be on Redis' replicas too. Until
// then Postgres keeps the changes, so that they come again.
const failover = time.Minute

// Done says that all commits up to a position have been seen to: Postgres may
// forget them, once their fences are old enough to outlive a failover of Redis.
func (w *Feed) Done(_ context.Context, position uint64) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.permanent {
		w.done = append(w.done, doneAt{position, time.Now()})
	}
	return nil
}

// acknowledged is what is sent to Postgres. Of a temporary slot it is all that was
// received: what is lost with the connection is made up by runs. Of a permanent one
// it is what is done.
func (w *Feed) acknowledged() pglogrepl.LSN {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.permanent {
		return w.received
	}
	for len(w.done) > 0 && time.Since(w.done[0].at) >= w.ackDelay {
		w.ackLSN, w.done = max(w.ackLSN, w.done[0].position), w.done[1:]
	}
	return pglogrepl.LSN(w.ackLSN)
}

// deliverIdle queues that nothing of ours was written up to where Postgres has sent, so
// that a permanent slot of an idle database keeps no WAL.
func (w *Feed) deliverIdle() {
	w.mu.Lock()
	seen, passed := uint64(w.received), w.permanent && uint64(w.received) > w.pushed
	w.mu.Unlock()
	if passed && w.queue.Empty() {
		w.push(&feed.Commits{Effect: feed.NewEffect(0), Position: seen})
	}
}

// Close ends the feed. A temporary slot goes with it.
func (w *Feed) Close() error {
	w.cancel()
	w.reading.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), closeLimit)
	defer cancel()
	if err := w.conn.Close(ctx); err != nil {
		return fmt.Errorf("close the change feed: %w", err)
	}
	return nil
}
