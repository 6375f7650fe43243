package worker

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/cache"
	"github.com/stokerhq/stoker/store/ledger"
	"github.com/stokerhq/stoker/store/postgres"
	"github.com/stokerhq/stoker/store/storetest"
)

// rig is a worker on real servers, and what a test needs to look behind it.
type rig struct {
	t       *testing.T
	pg      string        // URL of the database
	redis   *redis.Client // the cache
	queue   *redis.Client // the ledger and Asynq
	source  *postgres.Source
	real    *cache.Cache
	cache   Cache // real, or what the test put around it
	ledger  *ledger.Ledger
	metrics *prometheus.Registry
	logs    *logs
	spec    *jobs.Spec
	w       *Worker
}

// plan says what a rig stands on; what is left out, storetest provides.
type plan struct {
	pg, redis, queue string
	sql              []string
	jobs             []*jobs.Job
	source           func(Source) Source // put around the real one
	cache            func(Cache) Cache
}

func newRig(t *testing.T, p plan) *rig {
	t.Helper()
	if p.pg == "" {
		p.pg = storetest.Postgres(t)
	}
	if p.redis == "" {
		p.redis = storetest.Redis(t)
	}
	if p.queue == "" {
		p.queue = storetest.Redis(t)
	}
	if len(p.sql) > 0 {
		storetest.Exec(t, p.pg, p.sql...)
	}
	r := &rig{t: t, pg: p.pg, metrics: prometheus.NewRegistry(), logs: &logs{}}
	r.redis, r.queue = client(t, p.redis), client(t, p.queue)
	r.real, r.ledger = cache.New(r.redis, time.Minute), ledger.New(r.queue)
	r.cache = r.real
	if p.cache != nil {
		r.cache = p.cache(r.cache)
	}
	var err error
	r.source, err = postgres.Open(jobs.Postgres{URL: jobs.NewSecret(p.pg), MaxConnections: 4,
		StatementTimeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.source.Close)
	var source Source = r.source
	if p.source != nil {
		source = p.source(source)
	}
	r.spec = &jobs.Spec{File: "stoker.yaml", Jobs: p.jobs}
	r.w = r.newWorker(source, r.real, r.cache, NewMetrics(r.metrics), slog.New(slog.NewTextHandler(r.logs, nil)))
	return r
}

func client(t testing.TB, url string) *redis.Client {
	t.Helper()
	c, err := cache.Open(jobs.NewSecret(url))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c.(*redis.Client)
}

// newJob is a job as the spec's defaults make it.
func newJob(name string, value jobs.ValueKind, key, query string) *jobs.Job {
	template, err := jobs.ParseKeyTemplate(key)
	if err != nil {
		panic(err)
	}
	return &jobs.Job{
		Name: name, Query: query, Key: template, Value: value,
		TTL: 10 * time.Minute, Jitter: 0.1, Timeout: time.Minute, MaxValueBytes: 16 << 20,
		StaleGrace: 30 * time.Second, ShrinkGuard: 0.5, Type: jobs.TypeString, Format: jobs.FormatJSON,
		Compress: jobs.CompressNone, CompressAbove: 1 << 10, Rewrite: jobs.RewriteChanged,
	}
}

// run does a run and fails the test if it fails.
func (r *rig) run(job string) store.Record {
	r.t.Helper()
	rec, err := r.w.Run(r.t.Context(), "id", jobs.Run{Job: job, Cause: jobs.CauseCommand}, nil)
	if err != nil {
		r.t.Fatalf("run of %s: %v", job, err)
	}
	return rec
}

// value is what Redis has of a key.
type value struct {
	text    string
	expires time.Time
}

// keys returns everything in the cache, by key, but for what is Stoker's own.
func (r *rig) keys() map[string]value {
	r.t.Helper()
	ctx := context.Background()
	names, err := r.redis.Keys(ctx, "*").Result()
	if err != nil {
		r.t.Fatal(err)
	}
	names = slices.DeleteFunc(names, func(k string) bool { return strings.HasPrefix(k, "stoker:") })
	out := make(map[string]value, len(names))
	for part := range slices.Chunk(names, 1000) {
		pipe := r.redis.Pipeline()
		texts, ends := make([]*redis.StringCmd, len(part)), make([]*redis.DurationCmd, len(part))
		for i, k := range part {
			texts[i], ends[i] = pipe.Get(ctx, k), pipe.PExpireTime(ctx, k)
		}
		if _, err := pipe.Exec(ctx); err != nil {
			r.t.Fatal(err)
		}
		for i, k := range part {
			out[k] = value{texts[i].Val(), time.UnixMilli(ends[i].Val().Milliseconds())}
		}
	}
	return out
}

func (r *rig) texts() map[string]string {
	r.t.Helper()
	out := make(map[string]string)
	for k, v := range r.keys() {
		out[k] = v.text
	}
	return out
}

// want asks Postgres itself, in a session with timezone UTC, for keys and their
// values: a query of two text columns.
func (r *rig) want(query string) map[string]string {
	r.t.Helper()
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, r.pg)
	if err != nil {
		r.t.Fatal(err)
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, "SET timezone = 'UTC'"); err != nil {
		r.t.Fatal(err)
	}
	rows, err := conn.Query(ctx, query)
	if err != nil {
		r.t.Fatal(err)
	}
	out := make(map[string]string)
	for rows.Next() {
		var k, v string
		if err := rows.Scan(&k, &v); err != nil {
			r.t.Fatal(err)
		}
		out[k] = v
	}
	if err := rows.Err(); err != nil {
		r.t.Fatalf("%v\nin: %s", err, query)
	}
	return out
}

// wantCache holds the whole cache to what Postgres says.
func (r *rig) wantCache(query string) {
	r.t.Helper()
	if d := differ(r.want(query), r.texts()); d != "" {
		r.t.Error(d)
	}
}

// differ says in what two sets of keys and values differ, up to a few lines; ""
// is in nothing.
func differ(want, got map[string]string) string {
	var lines []string
	for _, k := range slices.Sorted(maps.Keys(want)) {
		switch v, ok := got[k]; {
		case !ok:
			lines = append(lines, fmt.Sprintf("key %s is missing", k))
		case v != want[k]:
			lines = append(lines, fmt.Sprintf("key %s\n got  %s\n want %s", k, v, want[k]))
		}
	}
	for _, k := range slices.Sorted(maps.Keys(got)) {
		if _, ok := want[k]; !ok {
			lines = append(lines, fmt.Sprintf("key %s should not be there: %s", k, got[k]))
		}
	}
	if n := len(lines); n > 5 {
		lines = append(lines[:5], fmt.Sprintf("and %d more", n-5))
	}
	return strings.Join(lines, "\n")
}

// records returns the last records of a job, newest first.
func (r *rig) records(job string) []store.Record {
	r.t.Helper()
	out, err := r.ledger.Runs(context.Background(), job, 100)
	if err != nil {
		r.t.Fatal(err)
	}
	return out
}

// metric returns the sum of a counter or a gauge over its labels.
func (r *rig) metric(name string) (sum float64) {
	r.t.Helper()
	families, err := r.metrics.Gather()
	if err != nil {
		r.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			for _, m := range f.GetMetric() {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return sum
}

// busy is how many sessions of ours, of this database, are at work in Postgres;
// total is how many there are.
func (r *rig) sessions() (busy, total int) {
	r.t.Helper()
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, r.pg)
	if err != nil {
		r.t.Fatal(err)
	}
	defer conn.Close(ctx)
	err = conn.QueryRow(ctx, `SELECT count(*) FILTER (WHERE state <> 'idle'), count(*) FROM pg_stat_activity
		WHERE application_name = 'stoker' AND datname = current_database()`).Scan(&busy, &total)
	if err != nil {
		r.t.Fatal(err)
	}
	return busy, total
}

// eventually waits until something is so. What happens on a server cannot be waited for otherwise.
var eventually = storetest.Eventually

// logs collects log lines.
type logs struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logs) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// tap is a Cache that does something before each Put, which it numbers from 1.
type tap struct {
	Cache
	mu     sync.Mutex
	n      int
	before func(n int)
}

func (c *tap) Put(ctx context.Context, cl *cache.Claim, b *store.Batch) (cache.Outcome, error) {
	c.mu.Lock()
	c.n++
	c.before(c.n)
	c.mu.Unlock()
	return c.Cache.Put(ctx, cl, b)
}

// tapped returns the plan's cache with before put in front of every Put.
func tapped(before func(n int)) func(Cache) Cache {
	return func(c Cache) Cache { return &tap{Cache: c, before: before} }
}

// exec changes the database.
func (r *rig) exec(sql ...string) {
	r.t.Helper()
	storetest.Exec(r.t, r.pg, sql...)
}

// lock keeps a table from being read until the returned function is called.
func (r *rig) lock(table string) (unlock func()) {
	r.t.Helper()
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, r.pg)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { conn.Close(ctx) })
	for _, sql := range []string{"BEGIN", "LOCK TABLE " + table} {
		if _, err := conn.Exec(ctx, sql); err != nil {
			r.t.Fatal(err)
		}
	}
	return func() {
		if err := conn.Close(ctx); err != nil {
			r.t.Error(err)
		}
	}
}
