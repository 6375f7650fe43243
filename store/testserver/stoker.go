package testserver

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// ModuleRoot returns the folder of Stoker's module, also from within another module that requires it. It reads the
// folders of the sources: what a test builds is no dependency of the test, and `go test` would keep its result when
// they change, but for the folders that the test has read.
func ModuleRoot(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}",
		"github.com/stokerhq/stoker").Output()
	if err != nil {
		return "", fmt.Errorf("find the module: %w (run it inside the source tree)", err)
	}
	root := strings.TrimSpace(string(out))
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && path != root && strings.Contains(leftOut, " "+d.Name()+" ") {
			return filepath.SkipDir
		}
		return err
	})
	if err != nil {
		return "", fmt.Errorf("read the folders of the sources: %w", err)
	}
	return root, nil
}

// leftOut are folders without sources; what makes and tests write is there.
const leftOut = " .git bin dist node_modules "

// BuildStoker builds the command into dir as it is shipped, without the race detector, whose memory is not ours, and
// returns its path. It uses the settings of `make build`, so that packages which were built for one are not built
// again for the other.
func BuildStoker(ctx context.Context, dir string) (string, error) {
	root, err := ModuleRoot(ctx)
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "stoker")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", path,
		"./cmd/stoker")
	cmd.Dir, cmd.Env = root, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build stoker: %w\n%s", err, out)
	}
	return path, nil
}
