package daemon

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stokerhq/stoker/cmd/stoker/internal/connect"
	"github.com/stokerhq/stoker/cmd/stoker/internal/reload"
	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store/feed/outbox"
	"github.com/stokerhq/stoker/store/postgres"
	"github.com/stokerhq/stoker/store/storetest"
)

// configMap is a folder as kubelet makes it of a ConfigMap: the files are links into ..data, and that is a link to a
// folder of one version. A new version is a new folder, and one rename.
type configMap struct {
	t    testing.TB
	dir  string
	next int
}

func newConfigMap(t testing.TB, files map[string]string) *configMap {
	t.Helper()
	m := &configMap{t: t, dir: t.TempDir()}
	m.put(files)
	for name := range files {
		if err := os.Symlink(filepath.Join("..data", name), filepath.Join(m.dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

// put replaces the version.
func (m *configMap) put(files map[string]string) {
	m.t.Helper()
	m.next++
	version := fmt.Sprintf("..version_%d", m.next)
	check := func(err error) {
		m.t.Helper()
		if err != nil {
			m.t.Fatal(err)
		}
	}
	check(os.Mkdir(filepath.Join(m.dir, version), 0o700))
	for name, text := range files {
		check(os.WriteFile(filepath.Join(m.dir, version, name), []byte(text), 0o600))
	}
	check(os.Symlink(version, filepath.Join(m.dir, "..data_tmp")))
	check(os.Rename(filepath.Join(m.dir, "..data_tmp"), filepath.Join(m.dir, "..data")))
	check(os.RemoveAll(filepath.Join(m.dir, fmt.Sprintf("..version_%d", m.next-1))))
}

// logs is a log that is read while it is written.
type logs struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logs) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// rig is a daemon in this process whose spec changes.
type rig struct {
	t     *testing.T
	files *configMap
	log   *logs
	base  string // of its pages
	redis *redis.Client
	pg    string
	stop  func() error
}

// run starts a daemon that looks at its files all the time.
func run(t *testing.T, files map[string]string, before ...func(*jobs.Spec, *postgres.Source) error) *rig {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	listener.Close()
	r := &rig{t: t, log: &logs{}, base: "http://" + address, pg: storetest.Postgres(t)}
	vars := map[string]string{"PG": r.pg, "RD": storetest.Redis(t), "LISTEN": address}
	options, err := redis.ParseURL(vars["RD"])
	if err != nil {
		t.Fatal(err)
	}
	r.redis = redis.NewClient(options)
	t.Cleanup(func() { r.redis.Close() })
	storetest.Exec(t, r.pg, "CREATE TABLE item (id int PRIMARY KEY, name text)",
		"INSERT INTO item SELECT i, 'item ' || i FROM generate_series(1, 3) i")
	r.files = newConfigMap(t, files)
	loader := &reload.Loader{File: filepath.Join(r.files.dir, "stoker.yaml"), Drivers: connect.Drivers,
		HoldStill: 5 * time.Millisecond, Lookup: func(name string) (string, bool) { v, ok := vars[name]; return v, ok }}
	spec, err := loader.First()
	if err != nil {
		t.Fatal(err)
	}
	for _, prepare := range before {
		source, err := postgres.Open(spec.Postgres)
		if err == nil {
			err = prepare(spec, source)
			source.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	d, err := New(Config{Spec: spec, Roles: AllRoles, Log: slog.New(slog.NewTextHandler(r.log, nil)),
		Reloads: Reloads{Loader: loader, Poll: 20 * time.Millisecond}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	r.stop = sync.OnceValue(func() error { cancel(); return <-ended })
	t.Cleanup(func() {
		if err := r.stop(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Log(r.log)
		}
	})
	r.until("it is ready", func() bool { status, _ := r.get("/readyz"); return status == http.StatusOK })
	return r
}

// until waits for what must come within five seconds; a busy machine gets more.
func (r *rig) until(what string, is func() bool) time.Duration {
	r.t.Helper()
	begun := time.Now()
	for !is() {
		if time.Since(begun) > 30*time.Second {
			r.t.Fatalf("not within 30 s: %s\n%s", what, r.log)
		}
		time.Sleep(20 * time.Millisecond)
	}
	return time.Since(begun)
}

func (r *rig) get(path string) (status int, body string) {
	resp, err := http.Get(r.base + path)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err.Error()
	}
	return resp.StatusCode, string(b)
}

// metric returns the value of a series, by its whole name.
func (r *rig) metric(name string) (value float64) {
	_, body := r.get("/metrics")
	for line := range strings.Lines(body) {
		if text, is := strings.CutPrefix(line, name+" "); is {
			if _, err := fmt.Sscan(text, &value); err != nil {
				r.t.Error(err)
			}
		}
	}
	return value
}

func (r *rig) value(key string) string { return r.redis.Get(r.t.Context(), key).Val() }

const head = `postgres: {url: "${PG}", max_connections: 4}
redis: {url: "${RD}"}
admin: {listen: "${LISTEN}"}
`

// A ConfigMap is replaced a hundred times, and each fifth version is wrong. Every good one is in use within seconds,
// every wrong one is refused with its located mistakes and the one before goes on; meanwhile no request fails, no job
// that stays as it is runs again, and no counter goes back.
//
// Broken by: files that are watched by their inode or time; a spec that is taken in part; a listener that is opened
// anew; metrics that are registered anew; a catch-up of every job.
func TestSpecIsReplacedAHundredTimes(t *testing.T) {
	version := func(n int) map[string]string { // the query is another one each fourth time
		return map[string]string{"q.sql": fmt.Sprintf("SELECT id, name, %d AS version FROM item", n/4),
			"stoker.yaml": head + `jobs:
  - {name: changes, key: "c:{id}", query_file: q.sql}
  - {name: stays, key: "s:{id}", query: SELECT id FROM item}
` + fmt.Sprintf("  - {name: only-%d, key: \"only-%d:{id}\", query: SELECT id FROM item}\n", n, n)}
	}
	r := run(t, version(0))
	stop, failed := make(chan struct{}), atomic.Int64{}
	var asking sync.WaitGroup
	for _, path := range []string{"/", "/api/v1/jobs", "/metrics", "/readyz", "/jobs/stays", "/queues/"} {
		asking.Go(func() {
			for {
				select {
				case <-stop:
					return
				case <-time.After(250 * time.Millisecond):
				}
				if status, body := r.get(path); status != http.StatusOK {
					failed.Add(1)
					t.Errorf("%s during a reload: %d %.200s", path, status, body)
				}
			}
		})
	}
	var slowest time.Duration
	good, runs := 0, 0.0
	for n := 1; n <= 100; n++ {
		next := version(n)
		if n%5 == 0 {
			next["stoker.yaml"] += "  - {name: stays, key: \"x:{id}\", qury: SELECT 1}\n"
			r.files.put(next)
			r.until("the mistake is in the log", func() bool {
				return strings.Count(r.log.String(), "stoker.yaml:8:34: ") == n/5 && strings.Contains(r.log.String(),
					`reason="the file has changed" problems=`)
			})
			r.until("the metric says so", func() bool { return r.metric("stoker_spec_last_load_successful") == 0 })
			if got, want := r.value("c:1"), fmt.Sprintf(`"version":%d}`, good/4); !strings.HasSuffix(got, want) {
				t.Errorf("after a wrong spec c:1 is %s, want %s", got, want)
			}
			r.until("the page says that the spec before goes on", func() bool { // it is a second old at most
				_, page := r.get("/")
				return strings.Contains(page, "The spec was not loaded") &&
					strings.Contains(page, fmt.Sprintf("only-%d", good))
			})
			continue
		}
		r.files.put(next)
		took := r.until(fmt.Sprintf("version %d is in use", n), func() bool {
			return strings.HasSuffix(r.value("c:1"), fmt.Sprintf(`"version":%d}`, n/4)) &&
				r.value(fmt.Sprintf("only-%d:1", n)) != ""
		})
		slowest, good = max(slowest, took), n
		if now := r.metric(`stoker_runs_total{job="changes",outcome="ok"}`); now < runs {
			t.Errorf("a counter went back from %v to %v", runs, now)
		} else {
			runs = now
		}
	}
	close(stop)
	asking.Wait()
	if n := r.metric(`stoker_runs_total{job="stays",outcome="ok"}`); n != 1 {
		t.Errorf("a job that stays as it is was run %v times", n)
	}
	if n := r.metric(`stoker_runs_total{job="changes",outcome="failed"}`); n != 0 {
		t.Errorf("%v runs failed", n)
	}
	t.Logf("slowest version in use after %s; %d requests failed", slowest, failed.Load())
}

// What only a start can do is refused by name, and nothing of that spec is taken; the next good one is.
//
// Broken by: a spec of which the jobs are taken and the rest is not; words without the fields.
func TestWhatNeedsARestartIsRefused(t *testing.T) {
	jobsOf := func(query string) string {
		return "jobs:\n  - {name: a, key: \"a:{id}\", query: \"" + query + "\"}\n"
	}
	r := run(t, map[string]string{"stoker.yaml": head + jobsOf("SELECT id FROM item")})
	r.until("the job has run", func() bool { return r.value("a:1") == `{"id":1}` })
	r.files.put(map[string]string{"stoker.yaml": strings.NewReplacer("max_connections: 4", "max_connections: 5",
		`"${LISTEN}"`, `"${LISTEN}", queues: read-write`).Replace(head) + jobsOf("SELECT id, 1 AS n FROM item")})
	r.until("it is refused", func() bool {
		return strings.Contains(r.log.String(),
			"postgres.max_connections, admin.queues cannot be changed while the daemon runs")
	})
	if got := r.value("a:1"); got != `{"id":1}` {
		t.Errorf("a:1 is %s", got)
	}
	resp, err := http.Post(r.base+"/api/reload", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(string(body),
		"postgres.max_connections") {
		t.Errorf("POST /api/reload: %d %s %v", resp.StatusCode, body, err)
	}
	r.files.put(map[string]string{"stoker.yaml": head + jobsOf("SELECT id, 2 AS n FROM item")})
	r.until("the next one is taken", func() bool { return r.value("a:1") == `{"id":1,"n":2}` })
	if r.metric("stoker_spec_last_load_successful") != 1 {
		t.Error("the metric says that the last load was refused")
	}
}

// Changes are followed on while specs change: with the watch lists as they are, the feed stays open, and a change is
// loaded by the new query. A job that is new to the feed has it opened anew.
//
// Broken by: a feed that is opened anew each time; a refresh by the query that the feed was opened with.
func TestFeedIsKept(t *testing.T) {
	const watch = "watch: [{table: item, key: {id: id}}]"
	for _, source := range []string{"wal", "outbox"} {
		t.Run(source, func(t *testing.T) {
			spec := func(query, more string) map[string]string {
				return map[string]string{"stoker.yaml": head + "changes: {source: " + source + "}\njobs:\n" +
					"  - {name: a, key: \"a:{id}\", query: \"" + query + "\", " + watch + "}\n" + more}
			}
			install := func(spec *jobs.Spec, s *postgres.Source) error {
				if spec.Changes.Source != jobs.SourceOutbox {
					return nil
				}
				script, err := outbox.Install(t.Context(), s, spec)
				if err != nil {
					return err
				}
				return outbox.Apply(t.Context(), s, script)
			}
			r := run(t, spec("SELECT id, name FROM item", ""), install)
			r.until("changes are followed", func() bool { return r.metric("stoker_changes_following") == 1 })
			r.until("the job has run", func() bool { return r.value("a:1") != "" })
			gaps := r.metric("stoker_changes_gaps_total")
			r.files.put(spec("SELECT id, name, 2 AS v FROM item", ""))
			r.until("the new query is in use", func() bool { return strings.HasSuffix(r.value("a:2"), `"v":2}`) })
			storetest.Exec(t, r.pg, "UPDATE item SET name = 'new' WHERE id = 1")
			r.until("a change is loaded by it", func() bool { return r.value("a:1") == `{"id":1,"name":"new","v":2}` })
			if now := r.metric("stoker_changes_gaps_total"); now != gaps {
				t.Errorf("the feed had %v gaps, and %v before", now, gaps)
			}
			r.files.put(spec("SELECT id, name, 2 AS v FROM item",
				"  - {name: b, key: \"b:{id}\", query: \"SELECT id, name FROM item\", "+watch+"}\n"))
			r.until("the new job has run", func() bool { return r.value("b:1") != "" })
			r.until("changes are followed", func() bool { return r.metric("stoker_changes_following") == 1 })
			storetest.Exec(t, r.pg, "UPDATE item SET name = 'newer' WHERE id = 1")
			r.until("its changes are followed", func() bool { return strings.Contains(r.value("b:1"), "newer") })
		})
	}
}
