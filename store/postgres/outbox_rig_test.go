package postgres_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store/feed"
	"github.com/stokerhq/stoker/store/postgres"
	"github.com/stokerhq/stoker/store/storetest"
)

const outboxShop = `
CREATE TABLE product (id int PRIMARY KEY, name text, supplier_id int);
CREATE TABLE price (product_id int, at timestamptz, amount numeric(10,2));
CREATE TABLE category (id int, name text);
INSERT INTO product SELECT i, 'p' || i, i % 10 FROM generate_series(1, 1000) i`

// watching is a spec of jobs with these key templates and watches; their names are
// the first words of the keys.
func watching(t testing.TB, source jobs.Source, watches map[string][]jobs.Watch) *jobs.Spec {
	t.Helper()
	spec := &jobs.Spec{File: "stoker.yaml", Changes: jobs.Changes{Source: source, RunAbove: 100, Name: "stoker", Slot: jobs.SlotTemporary}}
	for _, key := range slices.Sorted(maps.Keys(watches)) {
		template, err := jobs.ParseKeyTemplate(key)
		if err != nil {
			t.Fatal(err)
		}
		name, _, _ := strings.Cut(key, ":")
		spec.Jobs = append(spec.Jobs, &jobs.Job{Name: name, Query: "SELECT 1 AS id", Key: template, Value: jobs.ValueRow, Watch: watches[key]})
	}
	return spec
}

func shopWatches() map[string][]jobs.Watch {
	return map[string][]jobs.Watch{
		"product:{id}": {{Table: "product", Key: map[string]string{"id": "id"}}, {Table: "price", Key: map[string]string{"id": "product_id"}}},
		"supplier:{n}": {{Table: "product", Column: "supplier_id", Keys: "SELECT unnest($1::int[]) AS n"}},
		"menu":         {{Table: "category"}},
	}
}

// outboxRig is a feed that the test reads, and the database that it is of.
type outboxRig struct {
	t      testing.TB
	url    string
	source *postgres.Source
	spec   *jobs.Spec
	feed   *postgres.Outbox
	start  feed.Start
	log    bytes.Buffer // read after close
}

func newOutbox(t *testing.T, watches map[string][]jobs.Watch, ddl ...string) *outboxRig {
	t.Helper()
	return newOutboxAt(t, storetest.Postgres(t), watches, ddl...)
}

func newOutboxAt(t testing.TB, url string, watches map[string][]jobs.Watch, ddl ...string) *outboxRig {
	t.Helper()
	r := &outboxRig{t: t, url: url}
	storetest.Exec(t, r.url, ddl...)
	r.spec = watching(t, jobs.SourceOutbox, watches)
	var err error
	if r.source, err = postgres.Open(jobs.Postgres{URL: jobs.NewSecret(url), MaxConnections: 2, StatementTimeout: 10 * time.Second}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.source.Close)
	r.install()
	r.open()
	return r
}

func newShopOutbox(t *testing.T) *outboxRig { return newOutbox(t, shopWatches(), outboxShop) }

func (r *outboxRig) install() postgres.Script {
	r.t.Helper()
	script, err := r.source.OutboxInstall(r.t.Context(), r.spec)
	if err == nil {
		err = r.source.Apply(r.t.Context(), script)
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
	r.feed, r.start, err = r.source.OpenOutboxEvery(r.t.Context(), r.spec, slog.New(slog.NewTextHandler(&r.log, nil)), every)
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
	return r.count("SELECT count(*) FROM stoker_outbox WHERE NOT id <@ '"+r.feed.Taken()+"'::int8multirange") == 0
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
