package throttle

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/postgres"
)

// Source is a source whose runs are throttled.
type Source struct {
	*postgres.Source
	t *Throttle
}

// NewSource returns s with its runs throttled.
func NewSource(s *postgres.Source, t *Throttle) *Source { return &Source{s, t} }

// processID tells the runs of processes apart.
var processID = func() string {
	host, err := os.Hostname()
	if err != nil {
		host = "?"
	}
	return host + ":" + strconv.Itoa(os.Getpid())
}()

var runID atomic.Int64

// Run is postgres.Source.Run. It waits before the snapshot is opened, and between rows; the reasons go to store.OnWait.
func (s *Source) Run(ctx context.Context, job *jobs.Job, fn func(*store.Reading) error) error {
	p := &part{t: s.t}
	defer s.t.enter(ctx, fmt.Sprintf("%s/%s/%d", job.Name, processID, runID.Add(1)))()
	defer p.note(ctx, "")
	if err := p.begin(ctx); err != nil {
		return err
	}
	p.reading = time.Now() // sorting, before the first row comes, is reading too
	stop := p.cutSlices()
	defer stop()
	return s.Source.Run(ctx, job, func(reading *store.Reading) error {
		paused := *reading
		paused.Rows = p.rows(ctx, reading)
		return fn(&paused)
	})
}

// part is one run's part in the budget.
type part struct {
	t       *Throttle
	due     atomic.Bool // a slice is over: it is time to look at the clock
	reading time.Time   // since when the run reads without a pause
	noted   string
	waived  bool // the snapshot is too old for pauses
}

// begin waits until nothing forbids to open a snapshot.
func (p *part) begin(ctx context.Context) error {
	began := time.Now()
	for {
		h := p.t.held.Load()
		if h == nil {
			return nil
		}
		p.note(ctx, h.reason)
		if err := sleep(ctx, lookEvery/2); err != nil {
			return fmt.Errorf("wait for the database, for %s: %s: %w", time.Since(began).Round(time.Second), h.reason,
				err)
		}
		p.t.c.Metrics.waited(h.kind, lookEvery/2)
	}
}

// cutSlices says now and then that a slice is over, until the returned function is called: a look at the clock for
// each row would cost more than the row.
func (p *part) cutSlices() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for store.Sleep(ctx, slice) {
			p.due.Store(true)
		}
	}()
	return func() { cancel(); <-done }
}

func (p *part) rows(ctx context.Context, reading *store.Reading) store.Rows {
	return func(yield func(store.Row, error) bool) {
		for row, err := range reading.Rows {
			if err == nil && (p.due.Load() || p.t.held.Load() != nil) {
				if werr := p.pause(ctx, reading.Begun); werr != nil {
					yield(nil, werr)
					return
				}
			}
			if !yield(row, err) {
				return
			}
		}
	}
}

// pause waits while something forbids to go on, and then until what was read without a pause is the run's share of the
// time; but for no longer than the snapshot may be open.
func (p *part) pause(ctx context.Context, begun time.Time) error {
	if p.waived {
		return nil
	}
	start := time.Now()
	spent := start.Sub(p.reading)
	limit := begun.Add(p.t.c.Budget().MaxSnapshotAge)
	for now := start; ; {
		kind, reason, rest := p.why(spent, now.Sub(start))
		if reason == "" {
			break
		}
		p.note(ctx, reason)
		if now.After(limit) {
			p.waive(ctx)
			break
		}
		if err := sleep(ctx, min(rest, lookEvery/2)); err != nil {
			return fmt.Errorf("wait for the database: %s: %w", reason, err)
		}
		woke := time.Now()
		p.t.c.Metrics.waited(kind, woke.Sub(now))
		now = woke
	}
	if p.t.held.Load() == nil && p.t.share.Load() == 0 {
		p.note(ctx, "")
	}
	p.due.Store(false) // what was cut during the pause is none
	p.reading = time.Now()
	return nil
}

// why is the reason to pause, after some time of reading and some of pause, and for how long yet; "" if there is none.
func (p *part) why(spent, paused time.Duration) (kind, reason string, rest time.Duration) {
	if h := p.t.held.Load(); h != nil {
		return h.kind, h.reason, lookEvery
	}
	if share, reason := p.t.ofEach(); share > 0 {
		if rest := time.Duration(float64(spent)/share) - spent - paused; rest > 0 {
			return byShare, reason, rest
		}
	}
	return byShare, "", 0
}

// waive ends the pauses of a run whose snapshot is too old.
func (p *part) waive(ctx context.Context) {
	p.waived = true
	p.t.c.Log.Warn("a run goes on without pauses: its snapshot is as old as it may get", "reason", p.noted,
		"max_snapshot_age", p.t.c.Budget().MaxSnapshotAge)
	p.note(ctx, "")
}

func (p *part) note(ctx context.Context, reason string) {
	if reason != p.noted {
		p.noted = reason
		store.NoteWait(ctx, reason)
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	if store.Sleep(ctx, d) {
		return nil
	}
	return context.Cause(ctx)
}
