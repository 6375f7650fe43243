package testserver_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stokerhq/stoker/store/testserver"
)

// Servers whose clusters are copies can be told apart, and are made of one template by however many tests at once.
func TestTemplates(t *testing.T) {
	cache := t.TempDir()
	t.Setenv("XDG_CACHE_HOME", cache)
	t.Setenv("HOME", cache) // where the cache is below it
	testserver.KeepTemplates()
	const n = 4
	identifiers := map[string]bool{}
	var lock sync.Mutex
	start := func() {
		p, err := testserver.StartPostgres(t.Context())
		if err != nil {
			t.Error(err)
			return
		}
		defer p.Close()
		shell, err := p.Shell(t.Context(), "postgres")
		if err != nil {
			t.Error(err)
			return
		}
		defer shell.Close()
		rows, err := shell.Exec("SELECT system_identifier FROM pg_control_system()")
		if err != nil || len(rows) != 1 {
			t.Errorf("identifier %q, %v", rows, err)
			return
		}
		p.Kill() // what it wrote to its log is of the new identifier too
		if err := p.Start(t.Context()); err != nil {
			t.Error(err)
		}
		lock.Lock()
		defer lock.Unlock()
		identifiers[rows[0]] = true
	}
	var all sync.WaitGroup
	for range n {
		all.Go(start)
	}
	all.Wait()
	start() // surely a copy
	if len(identifiers) != n+1 {
		t.Errorf("%d servers have %d identifiers", n+1, len(identifiers))
	}
	var kept []string
	err := filepath.WalkDir(cache, func(path string, _ fs.DirEntry, err error) error {
		if filepath.Base(path) == "pg_control" {
			kept = append(kept, path)
		}
		return err
	})
	if err != nil || len(kept) != 1 {
		t.Fatalf("kept %q, %v, want one template", kept, err)
	}

	b, err := os.ReadFile(kept[0])
	if err != nil {
		t.Fatal(err)
	}
	b[20] ^= 1
	if err := os.WriteFile(kept[0], b, 0o600); err != nil {
		t.Fatal(err)
	}
	if p, err := testserver.StartPostgres(t.Context()); err == nil {
		p.Close()
		t.Error("a damaged template is used")
	} else if !strings.Contains(err.Error(), "remove it") {
		t.Errorf("a damaged template: %v", err)
	}
}
