package specfile

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stokerhq/stoker/jobs"
)

func loadText(t *testing.T, text string) (*jobs.Spec, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "stoker.yaml")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return Load(file, environment)
}

// No file makes Load panic, and each problem has a place.
func FuzzLoad(f *testing.F) {
	seeds, err := filepath.Glob(filepath.Join("testdata", "*.yaml"))
	if err != nil || len(seeds) == 0 {
		f.Fatalf("no seeds: %v", err)
	}
	for _, seed := range seeds {
		data, err := os.ReadFile(seed)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(data))
	}
	f.Add("a: &a [*a]\njobs: *a\n")
	f.Add("? [a]\n: b\n")
	f.Add("\xff\xfea\x00")
	f.Fuzz(func(t *testing.T, text string) {
		spec, err := loadText(t, text)
		if err == nil {
			checkSpec(t, spec)
			return
		}
		problems, ok := errors.AsType[jobs.Problems](err)
		if !ok || len(problems) == 0 || spec != nil {
			t.Fatalf("Load = %v, %v", spec, err)
		}
		for _, p := range problems {
			if p.Line < 1 || p.Col < 1 || p.Message == "" {
				t.Fatalf("a problem without a place or a message: %+v", p)
			}
		}
		inOrder := func(a, b jobs.Problem) int { return a.Line - b.Line }
		if !slices.IsSortedFunc(problems, inOrder) {
			t.Fatalf("not in the order of the file:\n%v", err)
		}
	})
}

// checkSpec holds what the rest of the program relies on.
func checkSpec(t *testing.T, s *jobs.Spec) {
	if len(s.Jobs) == 0 || s.Postgres.URL.IsZero() || s.Redis.URL.IsZero() || s.Redis.QueueURL.IsZero() ||
		s.Postgres.MaxConnections < 1 {
		t.Fatalf("half a spec: %+v", s)
	}
	if s.Admin.Token.IsZero() && !isLocal(s.Admin.Listen) {
		t.Fatalf("%s without a token", s.Admin.Listen)
	}
	for _, j := range s.Jobs {
		if !jobs.IsName(j.Name) || j.Query == "" || j.Key == nil || j.TTL <= 0 || j.Timeout <= 0 || j.Jitter < 0 ||
			j.Jitter > 1 || j.MaxValueBytes < 1 {
			t.Fatalf("half a job: %+v", j)
		}
		if j.StaleGrace < 0 || j.Rewrite == "" || j.ShrinkGuard < 0 || j.ShrinkGuard > 1 || j.Type == "" ||
			j.Format == "" || j.Compress == "" || j.CompressAbove < 1 {
			t.Fatalf("half a way to write: %+v", j)
		}
		if j.Type == jobs.TypeHash && (j.Value != jobs.ValueRow || j.Format != jobs.FormatJSON ||
			j.Compress != jobs.CompressNone) || j.Format == jobs.FormatText && j.Value != jobs.ValueScalar {
			t.Fatalf("a value that cannot be written: %+v", j)
		}
		if j.Type == jobs.TypeZSet && (j.Value != jobs.ValueRows || j.Format != jobs.FormatJSON ||
			j.Compress != jobs.CompressNone) {
			t.Fatalf("a ranking that cannot be written: %+v", j)
		}
	}
}
