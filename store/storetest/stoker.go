package storetest

import (
	"context"
	"os"
	"sync"
	"testing"

	"github.com/stokerhq/stoker/store/testserver"
)

// Stoker returns the path of the command, built once for all tests of a package.
func Stoker(t *testing.T) string {
	t.Helper()
	path, err := buildStoker()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

var buildStoker = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "stoker-test-binary-")
	if err != nil {
		return "", err
	}
	AtEnd(func() error { return os.RemoveAll(dir) })
	return testserver.BuildStoker(context.Background(), dir)
})
