package verify

import (
	"bytes"
	"context"
	"flag"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store/cache"
	"github.com/stokerhq/stoker/store/ledger"
	"github.com/stokerhq/stoker/store/postgres"
	"github.com/stokerhq/stoker/store/storetest"
	"github.com/stokerhq/stoker/worker"
)

// quiet drops what go-redis prints of connections that broke.
type quiet struct{}

func (quiet) Printf(context.Context, string, ...any) {}

func TestMain(m *testing.M) {
	redis.SetLogger(quiet{})
	// Most tests here wait for servers and for time, not for a processor.
	if err := flag.Set("test.parallel", "5"); err != nil {
		panic(err)
	}
	storetest.Main(m)
}

// rig is a verifier and a worker on real servers.
type rig struct {
	t       *testing.T
	pg      string        // URL of the database
	redis   *redis.Client // the cache and the ledger
	source  *postgres.Source
	cache   *cache.Cache
	ledger  *ledger.Ledger
	metrics *prometheus.Registry
	logs    *logs
	spec    *jobs.Spec
	w       *worker.Worker
	v       *Verifier
}

// plan says what a rig stands on.
type plan struct {
	sql  []string
	jobs []*jobs.Job
}

func newRig(t *testing.T, p plan) *rig {
	t.Helper()
	r := &rig{t: t, pg: storetest.Postgres(t), metrics: prometheus.NewRegistry(), logs: &logs{}}
	if len(p.sql) > 0 {
		storetest.Exec(t, r.pg, p.sql...)
	}
	r.redis = client(t, storetest.Redis(t))
	r.cache, r.ledger = cache.New(r.redis, time.Minute), ledger.New(r.redis)
	var err error
	r.source, err = postgres.Open(jobs.Postgres{URL: jobs.NewSecret(r.pg), MaxConnections: 4,
		StatementTimeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.source.Close)
	r.spec = &jobs.Spec{File: "stoker.yaml", Jobs: p.jobs}
	log := slog.New(slog.NewTextHandler(r.logs, nil))
	r.w = worker.New(worker.Config{Spec: r.spec, Source: r.source, Cache: r.cache, Ledger: r.ledger,
		Metrics: worker.NewMetrics(r.metrics), Log: log})
	r.v = r.verifier(r.metrics, log)
	return r
}

// verifier returns a verifier that repairs through the rig's worker.
func (r *rig) verifier(registry *prometheus.Registry, log *slog.Logger) *Verifier {
	mend := func(ctx context.Context, id string, inv jobs.Invalidation) error {
		_, err := r.w.Refresh(ctx, id, inv)
		return err
	}
	return New(Config{Spec: r.spec, Source: r.source, Cache: r.cache, Ledger: r.ledger, Mend: mend,
		Metrics: NewMetrics(registry), Log: log})
}

// run does a run and fails the test if it fails.
func (r *rig) run(job string) {
	r.t.Helper()
	if _, err := r.w.Run(r.t.Context(), "id", jobs.Run{Job: job, Cause: jobs.CauseCommand}, nil); err != nil {
		r.t.Fatalf("run of %s: %v", job, err)
	}
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

// exec changes the database.
func (r *rig) exec(sql ...string) {
	r.t.Helper()
	storetest.Exec(r.t, r.pg, sql...)
}
