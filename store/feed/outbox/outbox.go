// Package outbox is the change feed from a table that triggers of the watched tables fill.
// It makes the SQL that installs and removes table and triggers, polls the table, and
// checks beforehand that what is installed records what the spec watches.
package outbox

import (
	"cmp"
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store/feed"
	"github.com/stokerhq/stoker/store/postgres"
)

// Feed is the change feed from the table that triggers fill. What it reads is
// visible already, because it reads it in a snapshot. Rows stay in the table until
// Done: who opens the feed next gets again what was not done. A goroutine polls;
// each poll is one statement, and no state is kept in the session, so that a
// pooler may be in between.
type Feed struct {
	queue   *feed.CommitQueue
	source  *postgres.Source
	spec    *jobs.Spec
	log     *slog.Logger
	skipped func() // nil, or called for each call of stoker_invalidate that is skipped
	place   string
	origin  string // of the snapshots that it may be read in
	table   string // schema and name, quoted where needed
	watches map[uint32][]feed.Watcher
	every   time.Duration // between polls
	cancel  context.CancelFunc
	polling sync.WaitGroup

	mu      sync.Mutex
	polls   uint64    // how many found rows: the position
	unacked []unacked // rows that are read and not done

	marked     bool                      // the outbox has rows by transaction: a poll need not read all
	seen       *horizon                  // of the last poll that read all; nil: the next one reads the whole table
	moved      atomic.Bool               // rows were not where they had been read: the whole table is read again
	backlogged bool                      // mostUnacked is reached, and that was said
	polled     time.Time                 // by Postgres' clock: when the table was last read to its end
	through    atomic.Pointer[time.Time] // the same, once what was read is queued
}

// unacked is the rows of one poll.
type unacked struct {
	position uint64
	places   []string // ctid
	ids      []int64
	spans    []span // the ids
}

// pollEvery is how often the outbox is read: the freshness that this feed has to
// give, and one statement of an idle database.
const pollEvery = 100 * time.Millisecond

// Config is what a feed needs.
type Config struct {
	// Source is the database of the watched tables and of the outbox.
	Source *postgres.Source
	// Spec names the tables, and the jobs that stoker_invalidate may name.
	Spec *jobs.Spec
	// Log is required.
	Log *slog.Logger
	// Skipped is called for each call of stoker_invalidate that is skipped, because it
	// names no job of the spec, or no key of that job. nil: nothing is called.
	Skipped func()
	// PollEvery is the time between polls; 0: 100 ms.
	PollEvery time.Duration
}

// Open opens the feed of the tables that the spec's jobs watch. Triggers that
// do not record what the spec watches are an error that says what to run.
func Open(ctx context.Context, cfg Config) (*Feed, feed.Start, error) {
	s, spec := cfg.Source, cfg.Spec
	var start feed.Start
	tables, err := feed.WatchedTables(ctx, s, spec)
	if err != nil {
		return nil, start, err
	}
	state, err := readState(ctx, s, tables)
	if err != nil {
		return nil, start, err
	}
	needs := needsOf(spec, tables)
	if err := state.covers(needs); err != nil {
		return nil, start, err
	}
	start = feed.Start{Place: state.place(needs), Durable: true, Origin: state.origin}
	o := &Feed{
		queue: feed.NewCommitQueue(1), source: s, spec: spec, log: cfg.Log, skipped: cfg.Skipped, place: start.Place,
		origin: start.Origin, marked: state.Marked,
		table: state.Table, watches: make(map[uint32][]feed.Watcher), every: cmp.Or(cfg.PollEvery, pollEvery),
	}
	if !state.Marked {
		o.log.Warn(olderOutbox)
	}
	start.Through = o.completeBefore
	for _, n := range needs {
		o.watches[n.table.OID] = n.watches
	}
	polling, cancel := context.WithCancel(context.WithoutCancel(ctx))
	o.cancel = cancel
	o.polling.Go(func() { o.poll(polling) })
	return o, start, nil
}

// Next waits for commits and returns those since the last call. It is not an
// error that ctx has ended: then there are none.
func (o *Feed) Next(ctx context.Context) ([]*feed.Commits, error) { return o.queue.Next(ctx) }

// End ends the feed: Next returns err once it has returned what came before. The
// first error counts.
func (o *Feed) End(err error) { o.queue.End(err) }

// completeBefore is feed.Start's Through.
func (o *Feed) completeBefore() time.Time {
	if at := o.through.Load(); at != nil {
		return *at
	}
	return time.Time{}
}

// Done deletes the rows of all commits up to a position.
func (o *Feed) Done(ctx context.Context, position uint64) error {
	for {
		o.mu.Lock()
		if len(o.unacked) == 0 || o.unacked[0].position > position {
			o.mu.Unlock()
			return nil
		}
		rows := o.unacked[0]
		o.mu.Unlock()
		moved, err := o.remove(ctx, rows)
		if err != nil {
			return err
		}
		o.mu.Lock()
		o.unacked = o.unacked[1:]
		o.mu.Unlock()
		if moved { // not before: a poll leaves out what is not done
			o.moved.Store(true)
		}
	}
}

// Close ends the feed. What was not done stays in the table.
func (o *Feed) Close() error {
	o.cancel()
	o.polling.Wait()
	return nil
}

// mostUnacked bounds the rows that are read and not done, so that they take some 50
// MB: beyond, all changes wait in the table. It is far off, because one job whose
// run takes long would hold up all others.
const mostUnacked = 1_000_000

// push passes the rows of a poll to Next.
func (o *Feed) push(rows unacked, c *feed.Commits) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.polls++
	rows.position, c.Position = o.polls, o.polls
	rows.spans = spansOf(rows.ids)
	o.unacked = append(o.unacked, rows)
	o.queue.Push(c)
}

// unackedSpans are the ids of the rows that are read and not done, and how many they
// are.
func (o *Feed) unackedSpans() (spans []span, n int) {
	o.mu.Lock()
	for _, t := range o.unacked {
		spans = append(spans, t.spans...)
		n += len(t.ids)
	}
	o.mu.Unlock()
	return join(spans), n
}
