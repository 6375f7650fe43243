package checker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/stokerhq/stoker/store/testserver"
)

// BuildBoth builds the sound stoker, with flags of the go command, and the one that
// has all mutants, into a folder.
func BuildBoth(ctx context.Context, dir string, flags ...string) (b Binaries, err error) {
	b = Binaries{Sound: filepath.Join(dir, "stoker"), Mutants: filepath.Join(dir, "stoker-mutants")}
	overlay, err := Overlay(ctx)
	if err != nil {
		return b, err
	}
	if err := Build(ctx, b.Sound, nil, flags...); err != nil {
		return b, err
	}
	return b, Build(ctx, b.Mutants, overlay)
}

// Build makes the stoker binary of the module that the working directory is in. An
// overlay replaces files of it: sources stay as they are.
func Build(ctx context.Context, binary string, overlay map[string]string, flags ...string) error {
	root, err := testserver.ModuleRoot(ctx)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "stoker-overlay-")
	if err != nil {
		return fmt.Errorf("make a folder for the overlay: %w", err)
	}
	defer os.RemoveAll(dir)
	args := []string{"build", "-trimpath", "-ldflags=-s -w", "-o", binary}
	if len(overlay) > 0 {
		file, err := writeOverlay(dir, root, overlay)
		if err != nil {
			return err
		}
		args = append(args, "-overlay", file)
	}
	cmd := exec.CommandContext(ctx, "go", append(append(args, flags...), "./cmd/stoker")...)
	cmd.Dir, cmd.Env = root, append(os.Environ(), "CGO_ENABLED=0")
	if slices.Contains(flags, "-race") {
		cmd.Env = append(os.Environ(), "CGO_ENABLED=1")
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build stoker: %w\n%s", err, out)
	}
	return nil
}

// writeOverlay writes the texts of an overlay, and the list that go build reads.
func writeOverlay(dir, root string, overlay map[string]string) (string, error) {
	replace := make(map[string]string)
	for name, text := range overlay {
		file := filepath.Join(dir, strings.ReplaceAll(name, "/", "_"))
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			return "", fmt.Errorf("write an overlay: %w", err)
		}
		replace[filepath.Join(root, name)] = file
	}
	list, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	file := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(file, list, 0o600); err != nil {
		return "", fmt.Errorf("write an overlay: %w", err)
	}
	return file, nil
}

// Overlay is the files of one build that holds every mutant; STOKER_MUTANT says
// which one is alive, if any. A text that is to be replaced must be there exactly
// once: a mutant that fits the source no more is an error, for all of them.
func Overlay(ctx context.Context) (map[string]string, error) {
	root, err := testserver.ModuleRoot(ctx)
	if err != nil {
		return nil, err
	}
	files := make(map[string]string)
	var errs error
	for _, m := range Mutants {
		for _, e := range m.Edits {
			errs = errors.Join(errs, e.apply(root, m.Name, files))
		}
	}
	errs = errors.Join(errs, shortLife.apply(root, "the short life", files))
	for _, name := range []string{"store/cache", "store/postgres", "store/feed/wal", "scheduler/changes"} {
		files[name+"/checker_overlay.go"] = fmt.Sprintf(helper, filepath.Base(name))
	}
	return files, errs
}

// helper is the file that the overlay adds to each package that it changes.
const helper = `package %s

import (
	"os"
	"time"
)

func mutated(name string) bool { return os.Getenv("STOKER_MUTANT") == name }

func checkerLife(usual time.Duration) time.Duration {
	if d, err := time.ParseDuration(os.Getenv("STOKER_LIFE")); err == nil {
		return d
	}
	return usual
}
`

// apply makes the edit in files, which it reads from the tree first.
func (e Edit) apply(root, mutant string, files map[string]string) error {
	text, ok := files[e.File]
	if !ok {
		b, err := os.ReadFile(filepath.Join(root, e.File))
		if err != nil {
			return fmt.Errorf("mutant %q: %w", mutant, err)
		}
		text = string(b)
	}
	if n := strings.Count(text, e.Old); n != 1 {
		return fmt.Errorf("mutant %q: %s has the text %d times, want once; the source has changed, so must the "+
			"mutant:\n%s", mutant, e.File, n, e.Old)
	}
	files[e.File] = strings.Replace(text, e.Old, e.New, 1)
	return nil
}
