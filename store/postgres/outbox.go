package postgres

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store/feed"
)

// Outbox is the change feed from the table that triggers fill. What it reads is
// visible already, because it reads it in a snapshot. Rows stay in the table until
// Done: who opens the feed next gets again what was not done. A goroutine polls;
// each poll is one statement, and no state is kept in the session, so that a
// pooler may be in between.
type Outbox struct {
	*commitQueue
	source  *Source
	spec    *jobs.Spec
	log     *slog.Logger
	place   string
	origin  string // of the snapshots that it may be read in
	table   string // schema and name, quoted where needed
	watches map[uint32][]watch
	every   time.Duration // between polls
	cancel  context.CancelFunc
	polling sync.WaitGroup

	mu      sync.Mutex
	polls   uint64        // how many found rows: the position
	unacked []unackedRows // rows that are read and not done

	crowded bool      // mostTaken is reached, and that was said
	polled  time.Time // by Postgres' clock: when the table was last read to its end
}

// taken is the rows of one poll.
type unackedRows struct {
	position uint64
	places   []string // ctid
	ids      []int64
	spans    []span // the ids
}

// pollEvery is how often the outbox is read: the freshness that this feed has to
// give, and one statement of an idle database.
const pollEvery = 100 * time.Millisecond

// OpenOutbox opens the feed of the tables that the spec's jobs watch. Triggers that
// do not record what the spec watches are an error that says what to run.
func (s *Source) OpenOutbox(ctx context.Context, spec *jobs.Spec, log *slog.Logger) (*Outbox, feed.Start, error) {
	return s.openOutbox(ctx, spec, log, pollEvery)
}

func (s *Source) openOutbox(ctx context.Context, spec *jobs.Spec, log *slog.Logger, every time.Duration) (*Outbox, feed.Start, error) {
	var start feed.Start
	tables, err := s.watched(ctx, spec)
	if err != nil {
		return nil, start, err
	}
	state, err := s.outboxState(ctx, tables)
	if err != nil {
		return nil, start, err
	}
	needs := outboxNeeds(spec, tables)
	if err := state.covers(needs); err != nil {
		return nil, start, err
	}
	start = feed.Start{Place: state.place(needs), Durable: true, Origin: state.origin}
	o := &Outbox{commitQueue: newCommitQueue(1), source: s, spec: spec, log: log, place: start.Place, origin: start.Origin, table: state.Table, watches: make(map[uint32][]watch), every: every}
	for _, n := range needs {
		o.watches[n.table.OID] = n.watches
	}
	polling, cancel := context.WithCancel(context.WithoutCancel(ctx))
	o.cancel = cancel
	o.polling.Go(func() { o.poll(polling) })
	return o, start, nil
}

// Done deletes the rows of all commits up to a position.
func (o *Outbox) Done(ctx context.Context, position uint64) error {
	for {
		o.mu.Lock()
		if len(o.unacked) == 0 || o.unacked[0].position > position {
			o.mu.Unlock()
			return nil
		}
		rows := o.unacked[0]
		o.mu.Unlock()
		if err := o.remove(ctx, rows); err != nil {
			return err
		}
		o.mu.Lock()
		o.unacked = o.unacked[1:]
		o.mu.Unlock()
	}
}

// Close ends the feed. What was not done stays in the table.
func (o *Outbox) Close() error {
	o.cancel()
	o.polling.Wait()
	return nil
}

// mostTaken bounds the rows that are read and not done, so that they take some 50
// MB: beyond, all changes wait in the table. It is far off, because one job whose
// run takes long would hold up all others.
const mostTaken = 1_000_000

// hand hands the rows of a poll to Next.
func (o *Outbox) deliver(rows unackedRows, c *feed.Commits) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.polls++
	rows.position, c.Position = o.polls, o.polls
	rows.spans = spansOf(rows.ids)
	o.unacked = append(o.unacked, rows)
	o.push(c)
}

// takenSpans are the ids of the rows that are read and not done, and how many they
// are.
func (o *Outbox) takenSpans() (spans []span, n int) {
	o.mu.Lock()
	for _, t := range o.unacked {
		spans = append(spans, t.spans...)
		n += len(t.ids)
	}
	o.mu.Unlock()
	return join(spans), n
}
