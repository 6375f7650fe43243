package specfile

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	_ "time/tzdata" // the fixtures name zones that the machine may lack

	"github.com/google/go-cmp/cmp"

	"github.com/stokerhq/stoker/jobs"
)

var update = flag.Bool("update", false, "write the .want files anew")

// environment is the one of all fixtures.
func environment(name string) (string, bool) {
	value, set := map[string]string{
		"DATABASE_URL": "postgres://app:hunter2@db/shop",
		"REDIS_URL":    "redis://:hunter2@cache:6379/0",
		"SECRET":       "hunter2",
		"TOKEN":        "hunter2",
		"NAME":         "shop",
		"EMPTY":        "",
		"INJECTION":    "a\nadmin: {token: none}",
	}[name]
	return value, set
}

func load(t *testing.T, name string) (*jobs.Spec, error) {
	t.Helper()
	t.Chdir("testdata")
	return Load(name, environment)
}

func fixtures(t *testing.T, pattern string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", pattern))
	if err != nil || len(files) == 0 {
		t.Fatalf("no fixtures %s: %v", pattern, err)
	}
	for i := range files {
		files[i] = filepath.Base(files[i])
	}
	return files
}

// golden compares with testdata/<fixture>.want.
func golden(t *testing.T, fixture, got string) {
	t.Helper()
	file := strings.TrimSuffix(fixture, ".yaml") + ".want"
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("-want +got (go test ./jobs -update writes it anew):\n%s", diff)
	}
}

func TestBadSpecs(t *testing.T) {
	for _, name := range fixtures(t, "*.bad.yaml") {
		t.Run(name, func(t *testing.T) {
			spec, err := load(t, name)
			problems, ok := errors.AsType[jobs.Problems](err)
			if !ok || len(problems) == 0 || spec != nil {
				t.Fatalf("Load = %v, %v; want nil and Problems", spec, err)
			}
			golden(t, name, problems.Error()+"\n")
			if strings.Contains(err.Error(), "hunter2") {
				t.Error("a problem shows a secret")
			}
		})
	}
}

func TestGoodSpecs(t *testing.T) {
	for _, name := range fixtures(t, "*.good.yaml") {
		t.Run(name, func(t *testing.T) {
			spec, err := load(t, name)
			if err != nil {
				t.Fatal(err)
			}
			golden(t, name, describe(spec))
		})
	}
}

// describe is all that Load found, secrets revealed.
func describe(s *jobs.Spec) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("postgres %q %d %v", s.Postgres.URL.Reveal(), s.Postgres.MaxConnections, s.Postgres.StatementTimeout)
	line("redis %q queue %q", s.Redis.URL.Reveal(), s.Redis.QueueURL.Reveal())
	if s.Redis.Headroom != 0.1 {
		line("headroom %v", s.Redis.Headroom)
	}
	line("admin %s token %q write %v", s.Admin.Listen, s.Admin.Token.Reveal(), s.Admin.QueuesWrite)
	if s.Admin.BasePath != "" {
		line("admin below %s", s.Admin.BasePath)
	}
	line("changes %s %q slot %s name %s unbounded %v run above %d concurrency %d", s.Changes.Source,
		s.Changes.URL.Reveal(), s.Changes.Slot, s.Changes.Name, s.Changes.UnboundedWAL, s.Changes.RunAbove,
		s.Changes.Concurrency)
	line("audit %v", s.Audit.Rate)
	for _, n := range s.Notify {
		line("notify %q secret %q on %q format %s", n.URL.Reveal(), n.Secret.Reveal(), n.On, n.Format)
	}
	for _, j := range s.Jobs {
		line("job %s: %q", j.Name, j.Query)
		line("  key %s columns %q value %s", j.Key, j.Key.Columns(), j.Value)
		line("  ttl %v jitter %v timeout %v max %d", j.TTL, j.Jitter, j.Timeout, j.MaxValueBytes)
		line("  grace %v volatile %v steady %v rewrite %s shrink %v", j.StaleGrace, j.Volatile, j.Steady, j.Rewrite,
			j.ShrinkGuard)
		if j.Evictable {
			line("  evictable")
		}
		line("  type %s format %s compress %s above %d", j.Type, j.Format, j.Compress, j.CompressAbove)
		if len(j.Omit) > 0 {
			line("  omit %q", j.Omit)
		}
		if j.Role != "" {
			line("  role %s", j.Role)
		}
		if j.Schedule != nil {
			line("  schedule %s next %s", j.Schedule, j.Schedule.Next(time.Date(2024, 7, 1, 12, 0, 30, 0, time.UTC)))
		}
		for _, w := range j.Watch {
			line("  watch %+v", w)
		}
		for _, u := range j.Unwatched {
			line("  unwatched %+v", u)
		}
		if j.Objective != nil {
			line("  objective %+v", *j.Objective)
		}
	}
	for _, w := range s.Warnings {
		line("warning %s", w)
	}
	return b.String()
}

func TestTenMistakesGiveTenProblems(t *testing.T) {
	_, err := load(t, "ten.bad.yaml")
	problems, _ := errors.AsType[jobs.Problems](err)
	places := map[[2]int]bool{}
	for _, p := range problems {
		places[[2]int{p.Line, p.Col}] = true
	}
	if len(problems) != 10 || len(places) != 10 {
		t.Errorf("%d problems in %d places, want 10 in 10:\n%v", len(problems), len(places), err)
	}
}

func TestExampleSpecIsRight(t *testing.T) {
	spec, err := Load(filepath.Join("..", "..", "deploy", "stoker.example.yaml"), environment)
	if err != nil {
		t.Fatal(err)
	}
	if len(spec.Warnings) > 0 {
		t.Errorf("warnings:\n%v", spec.Warnings)
	}
	if len(spec.Jobs) != 4 || spec.Changes.Source != jobs.SourceNone {
		t.Errorf("the example has lost jobs, or run would refuse it:\n%s", describe(spec))
	}
}

// The example's watch block waits for the change feed as a comment: it must be
// right on the day it is uncommented.
func TestExampleWatchBlockIsRight(t *testing.T) {
	example, err := os.ReadFile(filepath.Join("..", "..", "deploy", "stoker.example.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(example), "    #watch:\n")
	block, after, ended := strings.Cut(rest, "\n\n")
	if !found || !ended {
		t.Fatal("the example has lost its watch block")
	}
	block = "    watch:\n" + strings.ReplaceAll("\n"+block, "\n    #", "\n    ") + "\n\n"
	text := strings.Replace(before, "source: none", "source: wal", 1) + block + after
	file := filepath.Join(t.TempDir(), "stoker.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	spec, err := Load(file, environment)
	if err != nil {
		t.Fatal(err)
	}
	if len(spec.Warnings) > 0 || len(spec.Jobs) != 4 || len(spec.Jobs[0].Watch) != 4 {
		t.Errorf("uncommented, the example has lost jobs or watches, or warns:\n%s", describe(spec))
	}
}

// The example says that its defaults section is what holds without it.
func TestExampleStatesTheDefaults(t *testing.T) {
	example, err := Load(filepath.Join("..", "..", "deploy", "stoker.example.yaml"), environment)
	if err != nil {
		t.Fatal(err)
	}
	minimal, err := load(t, "minimal.good.yaml")
	if err != nil {
		t.Fatal(err)
	}
	stated, built := *example.Jobs[2], *minimal.Jobs[0]
	stated.TTL, stated.Name, stated.Query, stated.Key, stated.Value = built.TTL, built.Name, built.Query, built.Key,
		built.Value
	stated.Format = example.Jobs[1].Format // the last job is the one with text
	opaque := cmp.Comparer(func(a, b *jobs.KeyTemplate) bool { return a == b })
	if diff := cmp.Diff(built, stated, opaque); diff != "" {
		t.Errorf("-built in +stated:\n%s", diff)
	}
	if example.Jobs[1].TTL != built.TTL {
		t.Errorf("ttl: stated %v, built in %v", example.Jobs[1].TTL, built.TTL)
	}
	if diff := cmp.Diff(minimal.Postgres.MaxConnections, example.Postgres.MaxConnections); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(minimal.Admin, example.Admin); diff != "" {
		t.Error(diff)
	}
}

func TestMissingSpecSaysWhatToDo(t *testing.T) {
	_, err := Load(filepath.Join(t.TempDir(), "stoker.yaml"), environment)
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "--config") {
		t.Errorf("err = %v", err)
	}
	if _, err := Load(t.TempDir(), environment); err == nil || !strings.Contains(err.Error(), "folder") {
		t.Errorf("a folder: err = %v", err)
	}
}

func TestSpecLargerThanASpec(t *testing.T) {
	file := filepath.Join(t.TempDir(), "stoker.yaml")
	if err := os.WriteFile(file, make([]byte, maxSpec+1), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(file, environment); err == nil || !strings.Contains(err.Error(), "more than a spec") {
		t.Errorf("err = %v", err)
	}
}

// Kubernetes mounts a ConfigMap as links to links beside the file.
func TestQueryFileBehindLinksInTheFolder(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	link := func(to, name string) {
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "..2024"), 0o755); err != nil {
		t.Fatal(err)
	}
	link("..2024", "..data")
	link("..data/q.sql", "q.sql")
	write("..2024/q.sql", "SELECT 1;")
	write("stoker.yaml", "postgres: {url: host=db}\nredis: {url: redis://c}\njobs: [{name: a, query_file: q.sql, "+
		"key: a}]")
	spec, err := Load(filepath.Join(dir, "stoker.yaml"), environment)
	if err != nil || spec.Jobs[0].Query != "SELECT 1" {
		t.Errorf("Load = %v, %v", spec, err)
	}
}

func TestSpecJob(t *testing.T) {
	spec, err := load(t, "full.good.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if j, ok := spec.Job("top-sellers"); !ok || j != spec.Jobs[1] {
		t.Errorf("Job = %v, %v", j, ok)
	}
	if _, ok := spec.Job("none"); ok {
		t.Error("found a job that is not there")
	}
}
