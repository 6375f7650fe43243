package web

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hibiken/asynq"
	"go.uber.org/goleak"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeLedger holds what runs left behind. A job in errs cannot be read.
type fakeLedger struct {
	runs    map[string][]store.Record
	live    map[string]store.Progress
	tally   map[string]store.Tally
	pending map[string]store.Pending
	budgets map[string]string // :: job -> the account of its objective
	errs    map[string]error
}

func (l fakeLedger) Budget(_ context.Context, job string, fields ...string) (string, []string, error) {
	return l.budgets[job], make([]string, len(fields)), l.errs[job]
}

func (l fakeLedger) Runs(_ context.Context, job string, n int) ([]store.Record, error) {
	runs := l.runs[job]
	return append([]store.Record(nil), runs[:min(n, len(runs))]...), l.errs[job]
}

func (l fakeLedger) Live(_ context.Context, job string) (store.Progress, bool, error) {
	p, ok := l.live[job]
	return p, ok, l.errs[job]
}

func (l fakeLedger) Pending(_ context.Context, job string) (store.Pending, bool, error) {
	p, is := l.pending[job]
	return p, is, l.errs[job]
}

func (l fakeLedger) Tally(_ context.Context, job string) (store.Tally, error) {
	return l.tally[job], l.errs[job]
}

// fakeSampler holds present and sampled by job.
type fakeSampler struct {
	warmth map[string][2]int
	errs   map[string]error
}

func (s fakeSampler) Warmth(_ context.Context, job string) (int, int, error) {
	w := s.warmth[job]
	return w[0], w[1], s.errs[job]
}

// fakeQueue records tasks and fails from the failAt-th on, from 1.
type fakeQueue struct {
	tasks  []*asynq.Task
	failAt int
}

func (q *fakeQueue) EnqueueContext(_ context.Context, t *asynq.Task, _ ...asynq.Option) (*asynq.TaskInfo, error) {
	if q.failAt > 0 && len(q.tasks)+1 >= q.failAt {
		return nil, errors.New("dial tcp 127.0.0.1:6379: connect: connection refused")
	}
	q.tasks = append(q.tasks, t)
	queue := jobs.QueueRun
	if t.Type() == jobs.TypeRefresh {
		queue = jobs.QueueRefresh
	}
	return &asynq.TaskInfo{ID: fmt.Sprintf("task-%d", len(q.tasks)), Queue: queue}, nil
}

// fencerFunc is a Fencer.
type fencerFunc func(job *jobs.Job, keys []jobs.Key) error

func (f fencerFunc) Fence(_ context.Context, job *jobs.Job, keys []jobs.Key) error {
	return f(job, keys)
}

const (
	testHost  = "127.0.0.1:8080"
	testToken = "correct horse battery staple"
)

// newSpec returns four jobs: one by cron, one by period, one on demand whose key
// has two columns, and one with a constant key.
func newSpec(t testing.TB) *jobs.Spec {
	t.Helper()
	spec := &jobs.Spec{
		Postgres: jobs.Postgres{URL: jobs.NewSecret("postgres://stoker:pg-secret-word@db.internal/shop")},
		Redis: jobs.Redis{
			URL:      jobs.NewSecret("redis://:redis-secret-word@cache.internal:6379/0"),
			QueueURL: jobs.NewSecret("redis://:redis-secret-word@cache.internal:6379/1"),
		},
		Admin: jobs.Admin{Listen: testHost},
		Jobs: []*jobs.Job{
			newJob(t, "product", "product:{id}", jobs.ValueRow, "*/5 * * * *", 30*time.Minute),
			newJob(t, "top-sellers", "top:{category}", jobs.ValueRows, "@every 30s", 5*time.Minute),
			newJob(t, "price", "price:{shop}:{sku}", jobs.ValueScalar, "", time.Hour),
			newJob(t, "banner", "banner", jobs.ValueRows, "@hourly", 2*time.Hour),
		},
	}
	for i, ratio := range []float64{0.999, 0.99} {
		spec.Jobs[i].Objective = &jobs.Objective{Age: time.Minute, Ratio: ratio, Window: jobs.DefaultObjectiveWindow}
	}
	return spec
}

func newJob(t testing.TB, name, key string, value jobs.ValueKind, schedule string, ttl time.Duration) *jobs.Job {
	t.Helper()
	template, err := jobs.ParseKeyTemplate(key)
	if err != nil {
		t.Fatal(err)
	}
	job := &jobs.Job{Name: name, Key: template, Value: value, TTL: ttl}
	if schedule != "" {
		if job.Schedule, err = jobs.ParseSchedule(schedule, time.UTC); err != nil {
			t.Fatal(err)
		}
	}
	return job
}

// newServer returns a Server over fakes, changed by change.
func newServer(t testing.TB, change func(*Config)) *Server {
	t.Helper()
	cfg := Config{
		Spec: newSpec(t), Ledger: fakeLedger{}, Enqueuer: &fakeQueue{},
		Version: "v1.2.3", Logger: slog.New(slog.DiscardHandler),
	}
	if change != nil {
		change(&cfg)
	}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Shutdown(context.Background()) })
	return s
}

func withToken(cfg *Config) { cfg.Spec.Admin.Token = jobs.NewSecret(testToken) }

// call sends one request; headers are "Name: value". A Host header changes the host.
func call(s *Server, method, target, body string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.Host = testHost
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		if name == "Host" {
			r.Host = value
			continue
		}
		if name == "Remote" {
			r.RemoteAddr = value
			continue
		}
		r.Header.Add(name, value)
	}
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, r)
	return w
}

const (
	asBrowser = "Accept: text/html,application/xhtml+xml"
	asForm    = "Content-Type: application/x-www-form-urlencoded"
)

func wantStatus(t *testing.T, w *httptest.ResponseRecorder, want int) {
	t.Helper()
	if w.Code != want {
		t.Fatalf("status %d, want %d; body: %s", w.Code, want, w.Body)
	}
}

func wantBody(t *testing.T, w *httptest.ResponseRecorder, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(w.Body.String(), part) {
			t.Errorf("the body lacks %q: %s", part, w.Body)
		}
	}
}

func wantHeader(t *testing.T, w *httptest.ResponseRecorder, name, want string) {
	t.Helper()
	if got := w.Header().Get(name); got != want {
		t.Errorf("%s is %q, want %q", name, got, want)
	}
}

// assetHash changes with every edit of a static file, and is left out of goldens.
var assetHash = regexp.MustCompile(`\?v=[0-9a-f]{8}`)

// golden compares got with a file under testdata, which -update rewrites.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	got = assetHash.ReplaceAll(got, []byte("?v=HASH"))
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v: write it with go test ./web -update", err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s differs (-want +got), -update rewrites it:\n%s", file, diff)
	}
}

func captureLog(cfg *Config) *bytes.Buffer {
	var log bytes.Buffer
	cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
	return &log
}

// closed fails a test that left a body unread.
func closed(t *testing.T, r *http.Response) string {
	t.Helper()
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
