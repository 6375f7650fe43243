package outbox_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store/feed"
	"github.com/stokerhq/stoker/store/feed/feedtest"
	"github.com/stokerhq/stoker/store/feed/outbox"
	"github.com/stokerhq/stoker/store/postgres"
	"github.com/stokerhq/stoker/store/storetest"
)

// outboxRig is a feed that the test reads, and the database that it is of.
type outboxRig struct {
	t       testing.TB
	url     string
	source  *postgres.Source
	spec    *jobs.Spec
	feed    *outbox.Feed
	start   feed.Start
	skipped atomic.Int64 // calls of stoker_invalidate
	log     bytes.Buffer // read after close
}

func newOutbox(t *testing.T, watches map[string][]jobs.Watch, ddl ...string) *outboxRig {
	t.Helper()
	return newOutboxAt(t, storetest.Postgres(t), watches, ddl...)
}

func newOutboxAt(t testing.TB, url string, watches map[string][]jobs.Watch, ddl ...string) *outboxRig {
	t.Helper()
	r := &outboxRig{t: t, url: url}
	storetest.Exec(t, r.url, ddl...)
	r.spec = feedtest.Spec(t, jobs.SourceOutbox, watches)
	var err error
	if r.source, err = postgres.Open(jobs.Postgres{URL: jobs.NewSecret(url), MaxConnections: 2,
		StatementTimeout: 10 * time.Second}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.source.Close)
	r.install()
	r.open()
	return r
}

func newShopOutbox(t *testing.T) *outboxRig {
	return newOutbox(t, feedtest.ShopWatches(), feedtest.Shop)
}

func (r *outboxRig) install() outbox.Script {
	r.t.Helper()
	script, err := outbox.Install(r.t.Context(), r.source, r.spec)
	if err == nil {
		err = outbox.Apply(r.t.Context(), r.source, script)
	}
	if err != nil {
		r.t.Fatal(err)
	}
	return script
}

// open opens the feed, with frequent polls; the one before, if any, is closed as by
// a crash.
func (r *outboxRig) open() {
	r.t.Helper()
	r.openEvery(time.Millisecond)
}

func (r *outboxRig) openEvery(every time.Duration) {
	r.t.Helper()
	if r.feed != nil {
		r.close()
	}
	var err error
	r.feed, r.start, err = outbox.Open(r.t.Context(), outbox.Config{
		Source: r.source, Spec: r.spec, Log: slog.New(slog.NewTextHandler(&r.log, nil)), PollEvery: every,
		Skipped: func() { r.skipped.Add(1) }})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(r.close)
}

func (r *outboxRig) close() {
	if err := r.feed.Close(); err != nil {
		r.t.Error(err)
	}
}

func (r *outboxRig) exec(statements ...string) {
	r.t.Helper()
	storetest.Exec(r.t, r.url, statements...)
}

// next returns what the feed yields until it has nothing more, as lines; what it
// yielded is done unless keep.
func (r *outboxRig) next(keep bool) []string {
	r.t.Helper()
	sum := &feed.Commits{Effect: feed.NewEffect(r.spec.Changes.RunAbove)}
	for deadline := time.Now().Add(20 * time.Second); ; {
		read := r.read()
		ctx, cancel := context.WithTimeout(r.t.Context(), 150*time.Millisecond)
		list, err := r.feed.Next(ctx)
		cancel()
		if err != nil {
			r.t.Fatal(err)
		}
		if len(list) == 0 && read {
			break
		}
		if time.Now().After(deadline) {
			r.t.Fatal("the outbox is not read to its end")
		}
		for _, c := range list {
			if len(c.XIDs) > 0 || c.Committed.IsZero() || time.Since(c.Committed).Abs() > time.Minute {
				r.t.Errorf("commits with xids %v, committed at %s", c.XIDs, c.Committed)
			}
			sum.Merge(c)
		}
	}
	if !keep {
		if err := r.feed.Done(r.t.Context(), sum.Position); err != nil {
			r.t.Fatal(err)
		}
	}
	return effectLines(sum.Effect)
}

// read reports whether all rows of the outbox have been read.
func (r *outboxRig) read() bool {
	r.t.Helper()
	return r.count("SELECT count(*) FROM stoker_outbox WHERE NOT id <@ '"+r.feed.Unacked()+"'::int8multirange") == 0
}

// effectLines is an effect as text, sorted.
func effectLines(e *feed.Effect) (lines []string) {
	for p := range e.Parts() {
		if p.RerunReason != "" {
			lines = append(lines, p.Job.Name+" whole: "+p.RerunReason)
		}
		for _, k := range p.Keys {
			lines = append(lines, fmt.Sprintf("%s %v", p.Job.Name, k))
		}
		for _, values := range p.Lookups {
			for v := range values {
				lines = append(lines, p.Job.Name+" by "+v)
			}
		}
	}
	slices.Sort(lines)
	return lines
}

func (r *outboxRig) want(what string, lines ...string) {
	r.t.Helper()
	if diff := cmp.Diff(lines, r.next(false)); diff != "" {
		r.t.Errorf("%s (-want +got):\n%s", what, diff)
	}
	if n := r.count("SELECT count(*) FROM stoker_outbox"); n != 0 {
		r.t.Errorf("%s: %d rows are left in the outbox", what, n)
	}
}

func (r *outboxRig) count(sql string) (n int) {
	r.t.Helper()
	conn, err := pgx.Connect(r.t.Context(), r.url)
	if err != nil {
		r.t.Fatal(err)
	}
	if err := errors.Join(conn.QueryRow(r.t.Context(), sql).Scan(&n), conn.Close(r.t.Context())); err != nil {
		r.t.Fatal(err)
	}
	return n
}

// follow reads and deletes until ctx ends.
func (r *outboxRig) follow(ctx context.Context) {
	for ctx.Err() == nil {
		commits, err := r.feed.Next(ctx)
		for _, c := range commits {
			err = errors.Join(err, r.feed.Done(r.t.Context(), c.Position))
		}
		if err != nil {
			return
		}
	}
}

// conn is a session of the application, until the test ends.
func (r *outboxRig) conn() *pgx.Conn {
	r.t.Helper()
	conn, err := pgx.Connect(r.t.Context(), r.url)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() {
		if err := conn.Close(context.Background()); err != nil {
			r.t.Error(err)
		}
	})
	return conn
}
