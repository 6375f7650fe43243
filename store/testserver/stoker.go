package testserver

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// ModuleRoot returns the folder of Stoker's module, also from within another module that requires it.
func ModuleRoot(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}",
		"github.com/stokerhq/stoker").Output()
	if err != nil {
		return "", fmt.Errorf("find the module: %w (run it inside the source tree)", err)
	}
	return strings.TrimSpace(string(out)), nil
}

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
