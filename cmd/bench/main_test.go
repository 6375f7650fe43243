package main

import (
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/stokerhq/stoker/store/storetest"
)

// The test binary is the baselines too: it starts itself, as the program does.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == asBaseline {
		os.Exit(baselineMain(os.Args[2:]))
	}
	storetest.Main(m)
}

// ownTemp gives the test a folder for temporary files that the servers' user can
// reach, and wants it empty in the end.
func ownTemp(t *testing.T) {
	t.Helper()
	dir, err := os.MkdirTemp("", "stoker-bench-test-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TMPDIR", dir)
	t.Setenv("GORACE", "atexit_sleep_ms=0") // or each baseline, this binary, lives a second longer
	t.Cleanup(func() {
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("left behind: %v, %v", left, err)
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
}

// lines is standard error, and tells when a line with some text has been
// written.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
	on   string
	then func()
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.then != nil && strings.Contains(string(p), l.on) {
		l.then()
	}
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
